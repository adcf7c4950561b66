/* esp.h - IPv4 packets in ESP (RFC 4303), sealed with AES-256-GCM (RFC 4106), between hosts that share a secret.
 *
 * Hosts have numbers from 1. Each direction between two of them has keys of its own, and a new one after so many
 * packets; the SPI says of which host and which key a packet is. The counters that make each packet different start
 * with the object: for one secret there must only ever be ONE esp_out from a host to another. */
#ifndef SIGN_ESP_H
#define SIGN_ESP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum {
    ESP_SECRET_SIZE = 32,
    ESP_HOSTS_MOST = (1 << 12) - 1,
    ESP_HEAD = 16,          /* before the packet: SPI, sequence number, IV */
    ESP_TAIL_MOST = 5 + 16, /* behind it: padding, trailer, tag */
    ESP_REKEY = 1 << 22,    /* packets a key: with the largest ones 2^34 blocks, far below what GCM bears */
};

struct esp_out *esp_out_new(const unsigned char secret[static ESP_SECRET_SIZE], int from, int to, unsigned rekey);
void esp_out_free(struct esp_out *); /* NULL is fine */

/* In place: the packet stands ESP_HEAD bytes from the buffer's beginning, with room for ESP_TAIL_MOST behind it. The
 * size of the datagram; 0: all keys are used up, nothing may be sent any more. */
size_t esp_seal(struct esp_out *, void *buffer, size_t packet_size);

struct esp_in *esp_in_new(const unsigned char secret[static ESP_SECRET_SIZE], int from, int to);
void esp_in_free(struct esp_in *); /* NULL is fine */

/* In place. False, and nothing remembered, for what the other host did not seal, or what came before. */
bool esp_open(struct esp_in *, void *datagram, size_t size, struct str *ret_packet);

/* From which host it says it is, which nobody has checked yet; 0: from none. */
int esp_from(const void *datagram, size_t size);

#endif
