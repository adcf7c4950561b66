/* crc.h - the three cyclic checksums that S3 clients send, at the speed of the machine. */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

enum crc_kind { CRC_32, CRC_32C, CRC_64NVME };

/* Starts from 0, and goes on from what it returned. Safe on any thread. */
uint64_t crc_update(enum crc_kind, uint64_t crc, const void *data, size_t size);

/* The checksum of A followed by B, from those of A and of B and the length of B. */
uint64_t crc_combine(enum crc_kind, uint64_t crc_a, uint64_t crc_b, uint64_t size_b);

#endif
