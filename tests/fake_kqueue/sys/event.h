// <sys/event.h> for a Linux that has none: what tests of the kqueue poller
// need, as the manual pages of FreeBSD and macOS describe it. The functions
// are in fake_kqueue.cpp, and so is the list of what they do not do.

#pragma once
#pragma GCC system_header  // no warnings, as for the true one

#include <sys/types.h>

#include <cstdint>
#include <ctime>

#define NAGLFAR_FAKE_KQUEUE 1  // so that a test knows what it runs on

// [fake-kevent]
struct kevent {
  std::uintptr_t ident;  // the descriptor
  short filter;          // EVFILT_READ or EVFILT_WRITE
  unsigned short flags;  // in: what to do; out: what is known
  unsigned int fflags;   // out, with EV_EOF: the socket's error
  std::int64_t data;     // out: bytes, connections, or with EV_ERROR an errno
  void* udata;           // handed back as it came
  std::uint64_t ext[4];  // FreeBSD has this one, macOS has not
};

#define EV_SET(event, id, filt, flag, fflag, datum, user) \
  do {                                                    \
    struct kevent* evSet = (event);                       \
    evSet->ident = (id);                                  \
    evSet->filter = (filt);                               \
    evSet->flags = (flag);                                \
    evSet->fflags = (fflag);                              \
    evSet->data = (datum);                                \
    evSet->udata = (user);                                \
    for (auto& word : evSet->ext) word = 0;               \
  } while (false)
// [/fake-kevent]

// [fake-kevent-names]
enum : short { EVFILT_READ = -1, EVFILT_WRITE = -2 };

enum : unsigned short {
  EV_ADD = 0x0001,
  EV_DELETE = 0x0002,
  EV_ENABLE = 0x0004,
  EV_DISABLE = 0x0008,
  EV_ONESHOT = 0x0010,  // deleted once it was returned
  EV_CLEAR = 0x0020,    // edge triggered
  EV_RECEIPT =
      0x0040,         // answer with an EV_ERROR entry, data 0 if all is well
  EV_ERROR = 0x4000,  // returned: the change failed, or its receipt
  EV_EOF = 0x8000,    // returned: the other end is gone
};

extern "C" int kqueue();
extern "C" int kevent(int kq, const struct kevent* changes, int changeCount,
                      struct kevent* events, int eventCount,
                      const struct timespec* timeout);
// [/fake-kevent-names]
