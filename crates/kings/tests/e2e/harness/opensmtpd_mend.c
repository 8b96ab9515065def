/* Debian 12 builds OpenSMTPD 6.8 with OpenSSL 3, which that release does not know: the name of a key is written into one
 * object and looked for in a copy of it, so that every handshake as a server ends with "missing private key". Loaded in
 * front of OpenSSL this finds the name that was written last; a server of these tests has one key. Where nothing is wrong
 * it changes nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

#define MEND(kind)                                                                                                     \
    static void *kept_##kind;                                                                                          \
    int kind##_set_ex_data(void *key, int index, void *data) {                                                         \
        int (*set)(void *, int, void *) = (int (*)(void *, int, void *))dlsym(RTLD_NEXT, #kind "_set_ex_data");        \
        if (index == 0 && data != NULL)                                                                                \
            kept_##kind = data;                                                                                        \
        return set(key, index, data);                                                                                  \
    }                                                                                                                  \
    void *kind##_get_ex_data(const void *key, int index) {                                                             \
        void *(*get)(const void *, int) = (void *(*)(const void *, int))dlsym(RTLD_NEXT, #kind "_get_ex_data");        \
        void *data = get(key, index);                                                                                  \
        return data == NULL && index == 0 ? kept_##kind : data;                                                        \
    }

MEND(RSA)
MEND(EC_KEY)
