"""No layer but sys calls the kernel: what the archives of the others ask for.

The functions of the C library that an archive needs are listed here, each
with the reason why it may: whatever is not listed fails. The templates of the
headers are in seam.cpp, which is checked like an archive.
"""

import re
import subprocess
import sys
import unittest

# What makes no system call.
PLAIN = set("""
abort gmtime_r inet_pton memchr memcmp memcpy memmove memset snprintf strlen
htons ntohs __errno_location __dso_handle __tls_get_addr _GLOBAL_OFFSET_TABLE_
__stack_chk_fail bcmp log2f
""".split())

# What may make one, and why.
ALLOWED = {
    r"pthread_(mutex|mutexattr|cond|condattr|rwlock|once|atfork|self|create|"
    r"detach|join|equal|key_\w+|getspecific|setspecific)\w*":
        "threads and locks: they are for the three servers of chapter 07",
    "sched_yield": "waits for handlers of signals in other threads",
    "__assert_fail|__assert_rtn": "ends a process that has a mistake",
    "raise": "ends the process after the report of a fault",
    "_exit": "ends a child",
    "sysconf": "the size of a page: the C library knows it",
    "getpid": "a child tells its number to its parent",
    "localtime_r": "reads the time zone, once",
    "getcontext|makecontext|swapcontext": "the switch by ucontext(3), counted",
}

# Of the C++ library, what reaches the kernel. SharedWaiters may ask for the
# time, because a condition variable in shared memory waits by that clock.
FORBIDDEN_CXX = re.compile(
    r"std::(cin|cout|cerr|clog|basic_[io]?fstream|basic_filebuf|filesystem|"
    r"random_device|chrono::\S*::now|this_thread|__cxx11::basic_\w*file)")


def asked(binary):
    """What a binary needs of others, as (name, name in C++)."""
    names = subprocess.run(["nm", "-u", "--format=posix", binary],
                           capture_output=True, text=True, check=True).stdout
    names = sorted({line.split()[0].partition("@")[0]
                    for line in names.splitlines() if " U" in line})
    plain = subprocess.run(["c++filt"], input="\n".join(names), text=True,
                           capture_output=True, check=True).stdout
    return list(zip(names, plain.splitlines()))


def past_the_seam(name, plain, binary=""):
    if "mixins" in binary and "system_clock::now" in plain:
        return False
    if name.startswith("_Z"):
        return FORBIDDEN_CXX.search(plain) is not None
    return not (name in PLAIN
                or name.startswith(("__cxa_", "_Unwind_", "naglfar_",
                                    "__gxx_personality", "__libcpp_"))
                or any(re.fullmatch(known, name) for known in ALLOWED))


class Seam(unittest.TestCase):

    def test_no_layer_but_sys_calls_the_kernel(self):
        self.assertTrue(BINARIES)
        found = [f"{binary}: {plain}" for binary in BINARIES
                 for name, plain in asked(binary)
                 if past_the_seam(name, plain, binary)]
        self.assertEqual(found, [])

    def test_what_reaches_the_kernel_is_found(self):
        for name in "write", "time", "clock_gettime", "poll", "open64":
            self.assertTrue(past_the_seam(name, name))
        for plain in ("std::cerr", "std::chrono::_V2::system_clock::now()",
                      "std::basic_ifstream<char>::basic_ifstream()"):
            self.assertTrue(past_the_seam("_Z", plain))


BINARIES = sys.argv[1:]
unittest.main(argv=sys.argv[:1])
