/* links: base net */
/* An address with a port, as nodes tell it. What is taken is printed, and read again, as the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "net/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256], first[ENDPOINT_TEXT], second[ENDPOINT_TEXT];
    struct sockaddr_storage address;

    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (!endpoint_read(text, &address))
        return 0;
    endpoint_print(&address, first);
    assert(endpoint_read(first, &address));
    endpoint_print(&address, second);
    assert(strcmp(first, second) == 0 && address_port(&address) > 0);
    address_is_of_a_machine(&address);
    return 0;
}
