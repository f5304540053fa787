/* tests/unit/server/pool.h — an APR pool for each test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_TEST_POOL_H
#define WSGI_TEST_POOL_H

#include "apr_general.h"
#include "apr_pools.h"

static int make_pool(void **state)
{
    apr_pool_t *pool;
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return -1;
    }
    *state = pool;
    return 0;
}

static int free_pool(void **state)
{
    apr_pool_destroy(*state);
    apr_terminate();
    return 0;
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, make_pool, free_pool)

#endif
