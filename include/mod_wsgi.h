/* mod_wsgi.h — what other httpd modules may know of this one: its version. The only installed
 * header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MOD_WSGI_H
#define MOD_WSGI_H

/* The level of the mod_wsgi contract that is kept, and the version of this implementation. */
#define MOD_WSGI_MAJORVERSION_NUMBER 6
#define MOD_WSGI_MINORVERSION_NUMBER 0
#define MOD_WSGI_MICROVERSION_NUMBER 5
#define MOD_WSGI_VERSION_STRING      "6.0.5"
#define MOD_WSGI_QUETZAL_VERSION     "0.1.0"

#endif
