/*
 * The least that two hops can cost: relays bytes between connections and one shared hop, with nothing of
 * a mesh in it, no TLS, no protocol, no discovery. What is left is what the kernel takes for a read and a
 * write per message towards client and server.
 *
 *   relay client PORT HOP_ADDRESS HOP_PORT         accepts applications, sends over one hop
 *   relay server PORT BACKEND_ADDRESS BACKEND_PORT accepts one hop, connects to the backend
 *
 * On the hop each chunk is a frame: length and the client's connection number, 32 bits each, then bytes.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 1 << 16, BUFFER = 1 << 22, CHUNK = 1 << 16 };

/* Lengths that are no lengths: a connection begins, a connection ends. */
static const uint32_t OPENED = 0, CLOSED = UINT32_MAX;

struct head {
  uint32_t length, connection;
};

static int events, hop = -1;
/* By the client's connection number the socket on this side, and by the socket the number. */
static int socket_of[CONNECTIONS];
static uint32_t number_of[CONNECTIONS];
static char outgoing[BUFFER], incoming[BUFFER];
static size_t outgoing_bytes, incoming_bytes;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in address(const char *host, const char *port) {
  struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, host, &result.sin_addr) != 1) fail(host);
  return result;
}

static void watch(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (fd >= CONNECTIONS || epoll_ctl(events, EPOLL_CTL_ADD, fd, &event)) fail("watch");
}

static int dial(const struct sockaddr_in *to) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (const void *)to, sizeof *to)) fail("connect");
  watch(fd);
  return fd;
}

static void send_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t sent = write(fd, bytes, count);
    if (sent < 0) return; /* Gone; its end is read. */
    bytes += sent;
    count -= sent;
  }
}

static void frame(uint32_t length, uint32_t connection, const char *bytes) {
  struct head head = {length, connection};
  size_t count = bytes == NULL ? 0 : length;
  if (outgoing_bytes + sizeof head + count > BUFFER) fail("more than the buffer holds");
  memcpy(outgoing + outgoing_bytes, &head, sizeof head);
  if (count > 0) memcpy(outgoing + outgoing_bytes + sizeof head, bytes, count);
  outgoing_bytes += sizeof head + count;
}

static void forget(uint32_t connection) {
  if (socket_of[connection] == 0) return;
  close(socket_of[connection]);
  socket_of[connection] = 0;
}

static void from_hop(const struct sockaddr_in *backend) {
  ssize_t got = read(hop, incoming + incoming_bytes, BUFFER - incoming_bytes);
  if (got <= 0) exit(0);
  incoming_bytes += got;
  size_t at = 0;
  while (incoming_bytes - at >= sizeof(struct head)) {
    struct head head;
    memcpy(&head, incoming + at, sizeof head);
    size_t body = head.length == CLOSED ? 0 : head.length;
    if (incoming_bytes - at - sizeof head < body) break;
    if (head.length == CLOSED) {
      forget(head.connection);
    } else if (head.length == OPENED) {
      int fd = dial(backend);
      socket_of[head.connection] = fd;
      number_of[fd] = head.connection;
    } else if (socket_of[head.connection] != 0) {
      send_all(socket_of[head.connection], incoming + at + sizeof head, body);
    }
    at += sizeof head + body;
  }
  memmove(incoming, incoming + at, incoming_bytes - at);
  incoming_bytes -= at;
}

static void from_socket(int fd) {
  static char chunk[CHUNK];
  uint32_t connection = number_of[fd];
  ssize_t got = read(fd, chunk, sizeof chunk);
  if (got > 0) {
    frame(got, connection, chunk);
  } else {
    frame(CLOSED, connection, NULL);
    forget(connection);
  }
}

int main(int count, char **words) {
  if (count != 5) {
    fprintf(stderr, "usage: relay client|server PORT ADDRESS PORT\n");
    return 64;
  }
  signal(SIGPIPE, SIG_IGN);
  int client = strcmp(words[1], "client") == 0;
  struct sockaddr_in here = address("0.0.0.0", words[2]), next = address(words[3], words[4]);
  events = epoll_create1(0);
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (void *)&here, sizeof here) || listen(listener, 4096)) fail("listen");
  watch(listener);
  if (client) hop = dial(&next);
  for (;;) {
    struct epoll_event ready[1024];
    int number = epoll_wait(events, ready, 1024, -1);
    for (int i = 0; i < number; i++) {
      int fd = ready[i].data.fd;
      if (fd == hop) {
        from_hop(&next);
      } else if (fd != listener) {
        from_socket(fd);
      } else {
        int accepted = accept(listener, NULL, NULL);
        if (accepted < 0) continue;
        watch(accepted);
        if (!client) {
          hop = accepted;
          continue;
        }
        socket_of[accepted] = accepted;
        number_of[accepted] = accepted;
        frame(OPENED, accepted, NULL);
      }
    }
    if (outgoing_bytes > 0 && hop >= 0) {
      send_all(hop, outgoing, outgoing_bytes);
      outgoing_bytes = 0;
    }
  }
}
