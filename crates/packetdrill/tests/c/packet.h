/* Packets by hand: IPv4 with TCP or UDP. */
#ifndef SOCKEYE_TEST_PACKET_H
#define SOCKEYE_TEST_PACKET_H

#include <stdint.h>
#include <string.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

#define OURS 0xc0a80001u   /* 192.168.0.1 */
#define THEIRS 0xc0000201u /* 192.0.2.1 */

struct segment {
    unsigned from, to, flags;
    uint32_t seq, ack;
    unsigned char data[1500];
    size_t length;
};

static void put16(unsigned char *at, unsigned n) {
    at[0] = n >> 8;
    at[1] = n;
}
static void put32(unsigned char *at, uint32_t n) {
    put16(at, n >> 16);
    put16(at + 2, n & 0xffff);
}
static uint32_t get32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}
static uint32_t sum(const unsigned char *at, size_t n, uint32_t start) {
    for (size_t i = 0; i < n; i++)
        start += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    return start;
}
static unsigned checksum(uint32_t sum) {
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}
/* The header of IPv4 before `length` octets of `protocol`, and the checksum of those at `place` in them. */
static size_t finish(unsigned char *packet, unsigned protocol, size_t length, size_t place) {
    memset(packet, 0, 20);
    packet[0] = 0x45;
    put16(packet + 2, 20 + length);
    packet[8] = 64;
    packet[9] = protocol;
    put32(packet + 12, THEIRS);
    put32(packet + 16, OURS);
    put16(packet + 10, checksum(sum(packet, 20, 0)));
    put16(packet + 20 + place, checksum(sum(packet + 20, length, sum(packet + 12, 8, protocol + length))));
    return 20 + length;
}
static size_t tcp_packet(unsigned char *packet, const struct segment *s) {
    unsigned char *tcp = packet + 20;
    size_t header = s->flags & SYN ? 24 : 20;
    memset(tcp, 0, header);
    put16(tcp, s->from);
    put16(tcp + 2, s->to);
    put32(tcp + 4, s->seq);
    put32(tcp + 8, s->flags & ACK ? s->ack : 0);
    tcp[12] = header / 4 << 4;
    tcp[13] = s->flags;
    put16(tcp + 14, 65535);
    if (s->flags & SYN)
        put32(tcp + 20, 0x020405b4); /* MSS 1460 */
    memcpy(tcp + header, s->data, s->length);
    return finish(packet, 6, header + s->length, 16);
}
static size_t udp_packet(unsigned char *packet, unsigned from, unsigned to, const void *data, size_t length) {
    unsigned char *udp = packet + 20;
    put16(udp, from);
    put16(udp + 2, to);
    put16(udp + 4, 8 + length);
    put16(udp + 6, 0);
    memcpy(udp + 8, data, length);
    return finish(packet, 17, 8 + length, 6);
}
/* Reads a TCP segment; whether it is one, from us to them, with right checksums. */
static int parse(const unsigned char *packet, size_t length, struct segment *s) {
    if (length < 40 || packet[0] != 0x45 || packet[9] != 6 || (size_t)(packet[2] << 8 | packet[3]) != length)
        return 0;
    if (get32(packet + 12) != OURS || get32(packet + 16) != THEIRS || checksum(sum(packet, 20, 0)))
        return 0;
    const unsigned char *tcp = packet + 20;
    size_t header = (tcp[12] >> 4) * 4;
    if (checksum(sum(tcp, length - 20, sum(packet + 12, 8, 6 + length - 20))) || header > length - 20)
        return 0;
    s->from = tcp[0] << 8 | tcp[1];
    s->to = tcp[2] << 8 | tcp[3];
    s->seq = get32(tcp + 4);
    s->ack = get32(tcp + 8);
    s->flags = tcp[13];
    s->length = length - 20 - header;
    memcpy(s->data, tcp + header, s->length < sizeof s->data ? s->length : sizeof s->data);
    return 1;
}

#endif
