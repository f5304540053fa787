/* tests/fuzz/fuzz_handover.c — the settings blob, as wsgi-daemon reads it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "wsgi_handover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wsgi_bytes_t blob = input(data, size);
    wsgi_group_settings_t settings;
    wsgi_result_t result = {0};
    wsgi_buffer_t out = {0};

    if (wsgi_handover_unpack(blob, &settings, &result) == WSGI_OK) {
        CLAIM(wsgi_handover_pack(&out, &settings) == WSGI_OK);
        CLAIM(is_same((wsgi_bytes_t){out.data, out.len}, blob));
    }
    else {
        CLAIM(result.code == WSGI_E_PROTOCOL && result.detail[0] != '\0');
    }
    wsgi_buffer_clear(&out, 0);
    return 0;
}
