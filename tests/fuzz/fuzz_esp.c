/* links: base sign */
/* Datagrams that anybody may send: nothing opens but what was sealed, nothing opens twice. */
#include <stdlib.h>
#include <string.h>

#include "sign/esp.h"

enum { PACKETS = 8, SIZE = 64 };

static const unsigned char secret[ESP_SECRET_SIZE] = "known to the fuzzer, not to the ";

/* The first byte: which sealed packet is sent; the next: how it is changed; 255: a datagram of its own. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct esp_out *out = esp_out_new(secret, 1, 2, 3);
    struct esp_in *in = esp_in_new(secret, 1, 2);
    unsigned char sealed[PACKETS][SIZE], datagram[UINT16_MAX + 1];
    size_t sizes[PACKETS];
    int opened[PACKETS] = { 0 };
    struct str packet;

    for (int i = 0; i < PACKETS; i++) {
        memset(sealed[i] + ESP_HEAD, i, 20);
        sizes[i] = esp_seal(out, sealed[i], 20);
    }
    while (size >= 3) {
        int which = data[0] % PACKETS, at = data[1], with = data[2];

        if (data[0] == 255) {
            size_t rest = size - 1 < sizeof datagram ? size - 1 : sizeof datagram;

            memcpy(datagram, data + 1, rest);
            (void)esp_from(datagram, rest);
            if (esp_open(in, datagram, rest, &packet))
                abort();
            break;
        }
        data += 3;
        size -= 3;
        memcpy(datagram, sealed[which], sizes[which]);
        datagram[(size_t)at % sizes[which]] ^= (unsigned char)with;
        if (!esp_open(in, datagram, sizes[which], &packet))
            continue;
        if (with || opened[which]++ || packet.size != 20 || packet.data[19] != which)
            abort();
    }
    esp_out_free(out);
    esp_in_free(in);
    return 0;
}
