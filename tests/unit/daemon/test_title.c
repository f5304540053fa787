/* tests/unit/daemon/test_title.c — what ps shows, and that the environment survives it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include "in_child.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>

static char **real_argv;
static bool is_out_of_memory;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return is_out_of_memory ? NULL : __real_calloc(count, size);
}

/* The kernel's view, in a process of its own. */

static const char *wanted_title;

typedef struct shown {
    char arguments[4096], name[16], variable[64];
} shown_t;

static void find_shown(void *found)
{
    shown_t *shown = found;
    wsgi_title_t title;
    const char *variable;

    wsgi_title_open(&title, real_argv);
    wsgi_title_set(&title, wanted_title);
    const int fd = open("/proc/self/cmdline", O_RDONLY);
    if (read(fd, shown->arguments, sizeof(shown->arguments) - 1) < 0) {
        _exit(1);
    }
    prctl(PR_GET_NAME, shown->name);
    variable = getenv("QUETZAL_TITLE_TEST");
    snprintf(shown->variable, sizeof(shown->variable), "%s", variable != NULL ? variable : "lost");
}

static void expect_shown(const char *text, const char *name)
{
    wanted_title = text;
    shown_t *found = run_in_child(find_shown);

    assert_string_equal(found->arguments, text);
    assert_string_equal(found->name, name);
    assert_string_equal(found->variable, "kept");
    forget_found(found);
}

static void test_ps_shows_the_title(void **state)
{
    (void)state;
    expect_shown("(wsgi:a)", "(wsgi:a)");
    expect_shown("", "");
}

/* Longer than the arguments, which are this program's name alone. */
static void test_the_environments_place_is_used(void **state)
{
    char title[256];

    (void)state;
    assert_true(strlen(real_argv[0]) < sizeof(title) - 1);
    memset(title, 'x', sizeof(title) - 1);
    title[sizeof(title) - 1] = '\0';
    expect_shown(title, "xxxxxxxxxxxxxxx");
}

/* Memory as the kernel lays it out, in small. */

typedef struct layout {
    char bytes[32];
    char *argv[3], *variables[3];
    char **own; /* environ of this process */
} layout_t;

/* "one", "two", then the environment's "A=1" and "B=2" from `variables_at` on. */
static void lay_out(layout_t *layout, size_t variables_at)
{
    memset(layout, '#', sizeof(*layout));
    memcpy(layout->bytes, "one\0two", 8);
    memcpy(layout->bytes + variables_at, "A=1\0B=2", 8);
    layout->argv[0] = layout->bytes;
    layout->argv[1] = layout->bytes + 4;
    layout->variables[0] = layout->bytes + variables_at;
    layout->variables[1] = layout->bytes + variables_at + 4;
    layout->argv[2] = layout->variables[2] = NULL;
    layout->own = environ;
    environ = layout->variables;
}

/* Frees the copy that the title has made. */
static void restore(layout_t *layout)
{
    if (environ != layout->variables) {
        for (size_t i = 0; environ[i] != NULL; i++) {
            free(environ[i]);
        }
        free(environ);
    }
    environ = layout->own;
}

static void test_room_is_arguments_and_environment(void **state)
{
    layout_t layout;
    wsgi_title_t title;

    (void)state;
    lay_out(&layout, 8);
    wsgi_title_open(&title, layout.argv);
    assert_ptr_equal(title.start, layout.bytes);
    assert_int_equal(title.capacity, 16);
    wsgi_title_set(&title, "a title that is too long");
    assert_memory_equal(layout.bytes, "a title that is\0#", 17);
    assert_string_equal(environ[0], "A=1");
    assert_string_equal(environ[1], "B=2");
    assert_null(environ[2]);
    wsgi_title_set(&title, "short");
    assert_memory_equal(layout.bytes, "short\0\0\0\0\0\0\0\0\0\0\0#", 17);
    restore(&layout);
}

static void test_an_environment_elsewhere_is_no_room(void **state)
{
    layout_t layout;
    wsgi_title_t title;

    (void)state;
    lay_out(&layout, 9);
    wsgi_title_open(&title, layout.argv);
    assert_int_equal(title.capacity, 8);
    wsgi_title_set(&title, "too long");
    assert_memory_equal(layout.bytes, "too lon\0#A=1\0B=2", 17);
    restore(&layout);
}

static void test_a_program_without_arguments(void **state)
{
    layout_t layout;
    wsgi_title_t title;

    (void)state;
    lay_out(&layout, 8);
    layout.argv[0] = NULL;
    wsgi_title_open(&title, layout.argv);
    assert_int_equal(title.capacity, 0);
    wsgi_title_set(&title, "title");
    assert_memory_equal(layout.bytes, "one\0two\0A=1", 12);
    restore(&layout);
}

static void test_without_memory_all_stays_as_it_is(void **state)
{
    layout_t layout;
    wsgi_title_t title;

    (void)state;
    lay_out(&layout, 8);
    is_out_of_memory = true;
    wsgi_title_open(&title, layout.argv);
    is_out_of_memory = false;
    assert_ptr_equal(environ, layout.variables);
    wsgi_title_set(&title, "title");
    assert_memory_equal(layout.bytes, "one\0two\0A=1\0B=2", 16);
    restore(&layout);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ps_shows_the_title),
        cmocka_unit_test(test_the_environments_place_is_used),
        cmocka_unit_test(test_room_is_arguments_and_environment),
        cmocka_unit_test(test_an_environment_elsewhere_is_no_room),
        cmocka_unit_test(test_a_program_without_arguments),
        cmocka_unit_test(test_without_memory_all_stays_as_it_is),
    };

    /* What is set here lies on the heap: the variable has to come from the kernel. */
    if (getenv("QUETZAL_TITLE_TEST") == NULL && argc > 0) {
        setenv("QUETZAL_TITLE_TEST", "kept", 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    real_argv = argv;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
