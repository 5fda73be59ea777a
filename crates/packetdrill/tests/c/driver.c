/* Loads the plugin as packetdrill does and drives all of its interface. Exit status 0: all went as it should. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "interface.h"
#include "packet.h"

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "driver.c:%d: %s does not hold (errno %d)\n", __LINE__, #what, errno);                     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define FAILS(call, number)                                                                                            \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        CHECK((call) == -1);                                                                                           \
        CHECK(errno == (number));                                                                                      \
    } while (0)

typedef void init_function(const char *, struct packetdrill_interface *);
typedef int getsockopt_function(int, int, int, void *, socklen_t *);
typedef char *sockets_function(void);

static init_function *init;
static getsockopt_function *plugin_getsockopt;
static sockets_function *plugin_sockets;
static struct packetdrill_interface ifc;
#define U ifc.userdata

static struct sockaddr_in name(uint32_t ip, unsigned port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
    return to;
}
static long long now(void) {
    struct timeval tv;
    CHECK(ifc.gettimeofday(U, &tv, NULL) == 0);
    return tv.tv_sec * 1000000LL + tv.tv_usec;
}

/* The other end of a connection. */
struct peer {
    unsigned port, ours;
    uint32_t seq, ack;
};

static void peer_sends(struct peer *peer, unsigned flags, const char *data) {
    struct segment s = {.from = peer->port, .to = peer->ours, .flags = flags, .seq = peer->seq, .ack = peer->ack};
    unsigned char packet[2000];
    s.length = strlen(data);
    memcpy(s.data, data, s.length);
    size_t length = tcp_packet(packet, &s);
    CHECK(ifc.netdev_send(U, packet, length) == 0);
    peer->seq += s.length + !!(flags & SYN) + !!(flags & FIN);
}
static struct segment peer_gets_at(int line, struct peer *peer, unsigned flags) {
    static struct segment s;
    unsigned char packet[2000];
    size_t length = sizeof packet;
    long long time = -1;
    CHECK(ifc.netdev_receive(U, packet, &length, &time) == 0);
    CHECK(length > 0 && time > 0);
    CHECK(parse(packet, length, &s));
    if (s.flags != flags) {
        fprintf(stderr, "driver.c:%d: flags %x, %zu octets, not %x\n", line, s.flags, s.length, flags);
        exit(1);
    }
    peer->ack = s.seq + s.length + !!(flags & SYN) + !!(flags & FIN);
    return s;
}
#define peer_gets(peer, flags) peer_gets_at(__LINE__, peer, flags)
static void nothing_comes(void) {
    unsigned char packet[100];
    size_t length = sizeof packet;
    long long time;
    CHECK(ifc.netdev_receive(U, packet, &length, &time) == 0);
    CHECK(length == 0);
}
static void peer_opens(struct peer *peer) {
    peer_sends(peer, SYN, "");
    peer_gets(peer, SYN | ACK);
    peer_sends(peer, ACK, "");
}
static int listener(unsigned port) {
    int fd = ifc.socket(U, AF_INET, SOCK_STREAM, IPPROTO_TCP), on = 1;
    struct sockaddr_in at = name(OURS, port);
    CHECK(fd >= 0);
    CHECK(ifc.setsockopt(U, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    CHECK(ifc.bind(U, fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(ifc.listen(U, fd, 5) == 0);
    return fd;
}
static int connected(struct peer *peer, unsigned ours) {
    int at = listener(ours);
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    *peer = (struct peer){.port = 4000, .ours = ours, .seq = 7000};
    peer_opens(peer);
    int fd = ifc.accept(U, at, (struct sockaddr *)&from, &length);
    CHECK(fd >= 0 && fd != at);
    CHECK(length == sizeof from && ntohl(from.sin_addr.s_addr) == THEIRS && ntohs(from.sin_port) == 4000);
    CHECK(ifc.close(U, at) == 0);
    return fd;
}
/* The peer gets this text, and acknowledges it. */
static void arrives(struct peer *peer, const char *text) {
    struct segment s = peer_gets(peer, PSH | ACK);
    CHECK(s.length == strlen(text) && memcmp(s.data, text, s.length) == 0);
    peer_sends(peer, ACK, "");
}

static void transfer(void) {
    struct peer peer;
    int fd = connected(&peer, 8080);
    char a[4], b[60] = "";
    struct iovec parts[2] = {{a, sizeof a}, {b, sizeof b}};

    peer_sends(&peer, PSH | ACK, "read");
    CHECK(ifc.read(U, fd, b, sizeof b) == 4 && memcmp(b, "read", 4) == 0);
    peer_sends(&peer, PSH | ACK, "scattered");
    CHECK(ifc.readv(U, fd, parts, 2) == 9 && memcmp(a, "scat", 4) == 0 && memcmp(b, "tered", 5) == 0);
    peer_sends(&peer, PSH | ACK, "looked at");
    CHECK(ifc.recv(U, fd, b, sizeof b, MSG_PEEK) == 9);
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    CHECK(ifc.recvfrom(U, fd, b, sizeof b, 0, (struct sockaddr *)&from, &length) == 9 && length == 0);
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    peer_sends(&peer, PSH | ACK, "a message");
    CHECK(ifc.recvmsg(U, fd, &message, 0) == 9 && memcmp(b, "ssage", 5) == 0 && message.msg_flags == 0);

    CHECK(ifc.write(U, fd, "write", 5) == 5);
    arrives(&peer, "write");
    struct iovec given[2] = {{"two ", 4}, {"parts", 5}};
    CHECK(ifc.writev(U, fd, given, 2) == 9);
    arrives(&peer, "two parts");
    CHECK(ifc.send(U, fd, "send", 4, MSG_NOSIGNAL) == 4);
    arrives(&peer, "send");
    CHECK(ifc.sendto(U, fd, "sendto", 6, 0, NULL, 0) == 6);
    arrives(&peer, "sendto");
    struct msghdr out = {.msg_iov = given, .msg_iovlen = 2};
    CHECK(ifc.sendmsg(U, fd, &out, 0) == 9);
    arrives(&peer, "two parts");

    /* Variadic: without the third argument, with an int, with a pointer. */
    int flags = ifc.fcntl(U, fd, F_GETFL), count = -1;
    CHECK(flags == O_RDWR);
    CHECK(ifc.fcntl(U, fd, F_SETFL, flags | O_NONBLOCK) == 0);
    CHECK(ifc.fcntl(U, fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
    FAILS(ifc.read(U, fd, b, 1), EAGAIN);
    peer_sends(&peer, PSH | ACK, "seven77");
    CHECK(ifc.ioctl(U, fd, FIONREAD, &count) == 0 && count == 7);
    CHECK(ifc.ioctl(U, fd, SIOCOUTQ, &count) == 0 && count == 0);
    CHECK(ifc.ioctl(U, fd, SIOCOUTQNSD, &count) == 0 && count == 0);
    FAILS(ifc.ioctl(U, fd, 0x1234, &count), ENOTTY);
    FAILS(ifc.ioctl(U, fd, FIONREAD, NULL), EFAULT);

    /* Data is left unread: closing resets. */
    CHECK(ifc.close(U, fd) == 0);
    FAILS(ifc.close(U, fd), EBADF);
    peer_gets(&peer, RST | ACK);
}

static void options(void) {
    struct peer peer;
    int fd = connected(&peer, 8080), on = 1, value = 0;
    socklen_t length = sizeof value;
    CHECK(ifc.setsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(ifc.getsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0 && value == 1 && length == 4);

    union {
        struct tcp_info known;
        unsigned char octets[400];
    } info;
    memset(&info, 0xee, sizeof info);
    length = sizeof info;
    CHECK(ifc.getsockopt(U, fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && length == 280);
    CHECK(info.octets[280] == 0xee);
    CHECK(info.known.tcpi_state == 1 && info.known.tcpi_snd_mss == 1460 && info.known.tcpi_snd_cwnd == 10);
    CHECK(info.known.tcpi_pmtu == 1500 && info.known.tcpi_total_retrans == 0 && info.known.tcpi_options == 0);
    CHECK(info.known.tcpi_segs_out <= 1 && info.known.tcpi_snd_ssthresh == 0x7fffffff);
    CHECK(ifc.write(U, fd, "in flight", 9) == 9);
    length = sizeof info.known;
    CHECK(plugin_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
    CHECK(info.known.tcpi_unacked == 1 && info.known.tcpi_notsent_bytes == 0);
    arrives(&peer, "in flight");
    length = 8; /* a program that knows a shorter structure gets its beginning */
    memset(&info, 0xee, sizeof info);
    CHECK(plugin_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && length == 8);
    CHECK(info.octets[7] == 0 && info.octets[8] == 0xee);
    length = sizeof info;
    CHECK(ifc.getsockopt(U, fd, IPPROTO_TCP, TCP_CC_INFO, &info, &length) == 0 && length == 20);
    length = sizeof info;
    CHECK(ifc.getsockopt(U, fd, SOL_SOCKET, SO_MEMINFO, &info, &length) == 0 && length == 36);

    length = sizeof value;
    FAILS(ifc.getsockopt(U, fd, SOL_SOCKET, 4242, &value, &length), ENOPROTOOPT);
    FAILS(ifc.getsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, NULL, &length), EFAULT);
    FAILS(ifc.getsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, &value, NULL), EFAULT);
    length = (socklen_t)-1;
    FAILS(ifc.getsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, &value, &length), EINVAL);
    FAILS(ifc.setsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, &on, 2), EINVAL);
    FAILS(ifc.setsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, NULL, 4), EFAULT);
    FAILS(ifc.setsockopt(U, fd, IPPROTO_TCP, TCP_NODELAY, &on, (socklen_t)-1), EINVAL);
    length = sizeof value;
    FAILS(plugin_getsockopt(9999, SOL_SOCKET, SO_TYPE, &value, &length), EBADF);

    /* Half-close: the peer's FIN, then ours. */
    peer_sends(&peer, FIN | ACK, "");
    peer_gets(&peer, ACK);
    char end;
    CHECK(ifc.read(U, fd, &end, 1) == 0);
    CHECK(ifc.shutdown(U, fd, SHUT_WR) == 0);
    peer_gets(&peer, FIN | ACK);
    peer_sends(&peer, ACK, "");
    FAILS(ifc.write(U, fd, "x", 1), EPIPE); /* and no signal */
    FAILS(ifc.shutdown(U, fd, 9), EINVAL);
    CHECK(ifc.close(U, fd) == 0);
    nothing_comes();
}

static void datagrams(void) {
    int fd = ifc.socket(U, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in at = name(INADDR_ANY, 53), from;
    CHECK(ifc.bind(U, fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(ifc.setsockopt(U, fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on) == 0);
    unsigned char packet[200];
    size_t length = udp_packet(packet, 5000, 53, "question", 8);
    CHECK(ifc.netdev_send(U, packet, length) == 0);
    char text[4], control[100];
    struct iovec part = {text, sizeof text};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    CHECK(ifc.recvmsg(U, fd, &message, 0) == 4 && message.msg_flags == MSG_TRUNC);
    CHECK(message.msg_namelen == sizeof from && ntohs(from.sin_port) == 5000);
    struct cmsghdr *told = CMSG_FIRSTHDR(&message);
    CHECK(told && told->cmsg_level == IPPROTO_IP && told->cmsg_type == IP_TTL);
    CHECK(told->cmsg_len == CMSG_LEN(4) && *(int *)CMSG_DATA(told) == 64);
    CHECK(CMSG_NXTHDR(&message, told) == NULL);
    CHECK(ifc.sendto(U, fd, "answer", 6, 0, (struct sockaddr *)&from, sizeof from) == 6);
    long long time;
    length = sizeof packet;
    CHECK(ifc.netdev_receive(U, packet, &length, &time) == 0 && length == 34);
    FAILS(ifc.recvmsg(U, fd, NULL, 0), EFAULT);
    message.msg_iovlen = 2000;
    FAILS(ifc.recvmsg(U, fd, &message, 0), EMSGSIZE);
    CHECK(ifc.close(U, fd) == 0);
}

static void readiness(void) {
    struct peer peer;
    int fd = connected(&peer, 8080);
    struct pollfd rows[3] = {{fd, POLLIN | POLLOUT, 0}, {-1, POLLIN, 7}, {9999, POLLIN, 0}};
    CHECK(ifc.poll(U, rows, 3, 0) == 2);
    CHECK(rows[0].revents == POLLOUT && rows[1].revents == 0 && rows[2].revents == POLLNVAL);
    int set = ifc.epoll_create(U, 1);
    CHECK(set >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1122334455667788}, told[2];
    CHECK(ifc.epoll_ctl(U, set, EPOLL_CTL_ADD, fd, &event) == 0);
    FAILS(ifc.epoll_ctl(U, set, EPOLL_CTL_ADD, fd, &event), EEXIST);
    FAILS(ifc.epoll_ctl(U, set, 77, fd, &event), EINVAL);
    FAILS(ifc.epoll_wait(U, set, told, 0, 0), EINVAL);
    FAILS(ifc.epoll_wait(U, set, NULL, 1, 0), EFAULT);
    long long before = now();
    CHECK(ifc.epoll_wait(U, set, told, 2, 40) == 0); /* nobody else does anything: time passes */
    CHECK(now() - before == 40001);
    peer_sends(&peer, PSH | ACK, "x");
    CHECK(ifc.epoll_wait(U, set, told, 2, -1) == 1);
    CHECK(told[0].events == EPOLLIN && told[0].data.u64 == 0x1122334455667788);
    peer_sends(&peer, FIN | ACK, "");
    rows[0].events = POLLIN | POLLRDHUP;
    CHECK(ifc.poll(U, rows, 1, -1) == 1 && rows[0].revents == (POLLIN | POLLRDHUP));
    FAILS(ifc.poll(U, NULL, 1, 0), EFAULT);
    FAILS(ifc.poll(U, rows, 1ul << 40, 0), EINVAL);
    CHECK(ifc.close(U, fd) == 0 && ifc.close(U, set) == 0);
    peer_gets(&peer, ACK); /* of the FIN */
    peer_gets(&peer, RST | ACK);
}

static void pipes(void) {
    struct peer peer;
    int fd = connected(&peer, 8080), ends[2];
    char text[20] = "";
    CHECK(ifc.pipe(U, ends) == 0);
    peer_sends(&peer, PSH | ACK, "spliced");
    loff_t none = 0, some = 5;
    CHECK(ifc.splice(U, fd, NULL, ends[1], NULL, 100, 0) == 7);
    FAILS(ifc.splice(U, ends[0], &some, fd, NULL, 100, 0), ESPIPE);
    CHECK(read(ends[0], text, 3) == 3 && memcmp(text, "spl", 3) == 0); /* a real pipe */
    peer_gets(&peer, ACK);
    CHECK(ifc.splice(U, ends[0], &none, fd, &none, 100, 0) == 4);
    arrives(&peer, "iced");
    FAILS(ifc.pipe(U, NULL), EFAULT);
    CHECK(ifc.close(U, ends[0]) == 0 && ifc.close(U, ends[1]) == 0 && ifc.close(U, fd) == 0);
    peer_gets(&peer, FIN | ACK);
    peer_sends(&peer, RST | ACK, "");
}

/* A call in a second thread, with the time when it returned. */
struct blocked {
    pthread_t thread;
    volatile pid_t tid;
    int fd;
    int seconds; /* of patience; 0 for no end */
    char text[40];
    ssize_t result;
    int number;
    long long ended;
};
static void *blocking_accept(void *argument) {
    struct blocked *call = argument;
    call->tid = syscall(SYS_gettid);
    call->result = ifc.accept(U, call->fd, NULL, NULL);
    call->number = errno;
    call->ended = now();
    return NULL;
}
static void *blocking_read(void *argument) {
    struct blocked *call = argument;
    call->tid = syscall(SYS_gettid);
    errno = 0;
    call->result = ifc.read(U, call->fd, call->text, sizeof call->text);
    call->number = errno;
    call->ended = now();
    return NULL;
}
static char state_of(pid_t tid) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    FILE *file = fopen(path, "r");
    if (!file)
        return '?';
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    char *end = strrchr(text, ')');
    return end ? end[2] : '?';
}
/* Starts a thread; returns when it is seen asleep in the operating system. */
static void start(struct blocked *call, void *(*run)(void *)) {
    call->tid = 0;
    CHECK(pthread_create(&call->thread, NULL, run, call) == 0);
    while (!call->tid || state_of(call->tid) != 'S')
        sched_yield();
}

static void blocking(void) {
    int at = listener(8080);
    struct peer peer = {.port = 4000, .ours = 8080, .seq = 1};
    struct blocked call = {.fd = at};
    start(&call, blocking_accept);
    long long began = now();
    CHECK(ifc.usleep(U, 250000) == 0);
    peer_opens(&peer);
    errno = 4242;
    long long after = now();
    CHECK(errno == 4242); /* what succeeds leaves it as it is */
    CHECK(pthread_join(call.thread, NULL) == 0);
    CHECK(call.result >= 0);
    CHECK(call.ended == began + 250001 && after == call.ended + 1);
    int fd = call.result;
    CHECK(ifc.close(U, at) == 0);

    call.fd = fd;
    start(&call, blocking_read);
    CHECK(ifc.usleep(U, 1000000) == 0);
    peer_sends(&peer, PSH | ACK, "woken");
    CHECK(pthread_join(call.thread, NULL) == 0);
    CHECK(call.result == 5 && memcmp(call.text, "woken", 5) == 0);

    /* Only time can end this one, and this thread does nothing but wait for it. Its errno is its own. */
    struct timeval patience = {.tv_sec = 30};
    CHECK(ifc.setsockopt(U, fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    began = now();
    errno = 4242;
    start(&call, blocking_read);
    CHECK(pthread_join(call.thread, NULL) == 0);
    CHECK(call.result == -1 && call.number == EAGAIN && call.ended == began + 30000001);
    CHECK(errno == 4242);

    CHECK(ifc.close(U, fd) == 0);
    peer_gets(&peer, ACK);
    peer_gets(&peer, FIN | ACK);
    peer_sends(&peer, RST | ACK, "");
}

static void an_hour(void) {
    struct peer peer;
    int fd = connected(&peer, 8080), on = 1, idle = 60;
    struct timespec one, two;
    CHECK(ifc.setsockopt(U, fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
    CHECK(ifc.setsockopt(U, fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) == 0);
    clock_gettime(CLOCK_MONOTONIC, &one);
    long long began = now();
    int probes = 0;
    while (now() - began < 3600000000LL) {
        CHECK(ifc.usleep(U, 30000000) == 0);
        CHECK(ifc.usleep(U, 30000000) == 0);
        peer_gets(&peer, ACK); /* a probe: one octet before what comes next */
        peer.ack++;
        peer_sends(&peer, ACK, "");
        probes++;
    }
    CHECK(probes == 60);
    struct tcp_info info;
    socklen_t length = sizeof info;
    CHECK(ifc.getsockopt(U, fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_state == 1);
    began = now();
    CHECK(ifc.usleep(U, 3600000000u) == 0); /* nobody answers: one call, and it is over */
    CHECK(now() - began == 3600000001LL);
    char octet;
    FAILS(ifc.read(U, fd, &octet, 1), ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &two);
    double wall = two.tv_sec - one.tv_sec + (two.tv_nsec - one.tv_nsec) / 1e9;
    printf("two hours of virtual time in %.3f s\n", wall);
    CHECK(wall < 10); /* not a measurement: it did not wait */
    CHECK(ifc.close(U, fd) == 0);
    for (size_t n = 1; n > 0;) { /* the probes that nobody answered, and the reset */
        unsigned char packet[100];
        long long time;
        n = sizeof packet;
        CHECK(ifc.netdev_receive(U, packet, &n, &time) == 0);
    }
}

static void refusals(void) {
    struct sockaddr_in at = name(OURS, 1), foreign = name(0x0a090909, 1);
    unsigned char packet[70000] = {0x45};
    size_t length = sizeof packet;
    long long time;
    int fd = ifc.socket(U, AF_INET, SOCK_STREAM, 0);
    FAILS(ifc.socket(U, AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(ifc.socket(U, AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(ifc.bind(U, fd, NULL, sizeof at), EFAULT);
    FAILS(ifc.bind(U, fd, (struct sockaddr *)&at, 3), EINVAL);
    FAILS(ifc.bind(U, fd, (struct sockaddr *)&at, 70000), EINVAL);
    FAILS(ifc.bind(U, fd, (struct sockaddr *)&foreign, sizeof foreign), EADDRNOTAVAIL);
    FAILS(ifc.bind(U, 9999, (struct sockaddr *)&at, sizeof at), EBADF);
    FAILS(ifc.connect(U, fd, NULL, sizeof at), EFAULT);
    FAILS(ifc.connect(U, fd, (struct sockaddr *)&foreign, sizeof foreign), ENETUNREACH);
    FAILS(ifc.read(U, fd, NULL, 1), EFAULT);
    FAILS(ifc.read(U, fd, packet, SIZE_MAX), EINVAL);
    FAILS(ifc.read(U, fd, packet, 1), ENOTCONN);
    FAILS(ifc.readv(U, fd, NULL, 1), EFAULT);
    FAILS(ifc.readv(U, fd, NULL, -1), EINVAL);
    FAILS(ifc.writev(U, fd, NULL, 1025), EINVAL);
    FAILS(ifc.write(U, fd, NULL, 1), EFAULT);
    FAILS(ifc.send(U, fd, "x", 1, MSG_FASTOPEN), EOPNOTSUPP);
    FAILS(ifc.sendmsg(U, fd, NULL, 0), EFAULT);
    FAILS(ifc.netdev_send(U, NULL, 40), EFAULT);
    FAILS(ifc.netdev_send(U, packet, 10), EINVAL);
    FAILS(ifc.netdev_send(U, packet, sizeof packet), EINVAL);
    CHECK(ifc.netdev_send(U, packet, 20) == 0); /* rubbish: dropped */
    FAILS(ifc.netdev_receive(U, packet, NULL, &time), EFAULT);
    CHECK(ifc.netdev_receive(U, packet, &length, &time) == 0 && length == 0);
    CHECK(ifc.gettimeofday(U, NULL, NULL) == 0);
    FAILS(ifc.fcntl(U, fd, F_DUPFD, 0), EINVAL);
    CHECK(ifc.close(U, fd) == 0);
}

/* Flags that cannot be understood: the calls fail, and the program goes on. */
static void unknown_flags(void) {
    struct packetdrill_interface failed;
    unsigned char packet[100];
    size_t length = sizeof packet;
    long long time;
    fprintf(stderr, "(the next line is as it should be)\n");
    init("colour=red", &failed);
    FAILS(failed.socket(failed.userdata, AF_INET, SOCK_STREAM, 0), EINVAL);
    FAILS(failed.gettimeofday(failed.userdata, NULL, NULL), EINVAL);
    CHECK(failed.netdev_receive(failed.userdata, packet, &length, &time) == 0 && length == 0);
    failed.free(failed.userdata);
    init(NULL, NULL);
}

static void table(void) {
    int fd = listener(8080), udp = ifc.socket(U, AF_INET, SOCK_DGRAM, 0);
    char *text = plugin_sockets();
    CHECK(text && strcmp(text, "tcp 192.168.0.1:8080 * LISTEN\nudp * * -\n") == 0);
    free(text);
    /* Real descriptors: the operating system knows them, and a program may close them there. */
    CHECK(fcntl(fd, F_GETFD) >= 0 && fcntl(udp, F_GETFD) >= 0);
    CHECK(close(fd) == 0);
    FAILS(ifc.listen(U, fd, 1), EBADF);
    CHECK(ifc.close(U, udp) == 0);
}

/* The machine ends while a call waits. */
static void the_end(void) {
    struct blocked call = {.fd = listener(8080)};
    start(&call, blocking_accept);
    peer_opens(&(struct peer){.port = 4001, .ours = 8080, .seq = 1});
    CHECK(pthread_join(call.thread, NULL) == 0 && call.result >= 0);
    ifc.free(U);
    FAILS(ifc.socket(U, AF_INET, SOCK_STREAM, 0), EFAULT);
    FAILS(ifc.usleep(NULL, 1), EFAULT);
    ifc.free(U);
    ifc.free(NULL);
    char *text = plugin_sockets();
    CHECK(text && *text == 0);
    free(text);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    int how = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
#ifndef NO_DEEPBIND
    how |= RTLD_DEEPBIND;
#endif
    void *plugin = dlopen(arguments[1], how);
    if (!plugin)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(plugin);
    init = (init_function *)dlsym(plugin, "packetdrill_interface_init");
    plugin_getsockopt = (getsockopt_function *)dlsym(plugin, "sockeye_plugin_getsockopt");
    plugin_sockets = (sockets_function *)dlsym(plugin, "sockeye_plugin_sockets");
    CHECK(init && plugin_getsockopt && plugin_sockets);
    CHECK(sizeof ifc == 264);
    init(NULL, &ifc);
    for (size_t i = 0; i < sizeof ifc / sizeof(void *); i++)
        CHECK(((void **)&ifc)[i]);
    long long before = now();
    CHECK(now() > before);

    transfer();
    options();
    datagrams();
    readiness();
    pipes();
    blocking();
    an_hour();
    refusals();
    unknown_flags();
    table();
    the_end();
    puts("all is as it should be");
    return 0;
}
