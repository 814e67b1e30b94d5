"""Shows coroutines in gdb: gdb -x src/naglfar/gdb.py PROGRAM [CORE]

  coroutines           lists those of the current thread's scheduler
  coroutine 3          shows the backtrace of number 3
  coroutine 3 bt full  any command on its stack, where its frames begin at #1

Writes nothing into the program, so it works with core files as well. For both
switches, in assembly and by ucontext(3), on x86-64 and aarch64.
"""

import gdb
from gdb.unwinder import Unwinder, register_unwinder

# [saved-registers]
X86_64 = dict(r12=4, r13=5, r14=6, r15=7, rbp=10, rbx=11, rsp=15, rip=16)
# Where they are in the row that switch_x86_64.S draws, in words.
X86_64_ROW = dict(r15=1, r14=2, r13=3, r12=4, rbx=5, rbp=6, rip=7)


def saved_registers(coroutine):
    """Those that a backtrace needs."""
    stopped = coroutine['context_']['stopped'].dereference()
    aarch64 = 'aarch64' in gdb.selected_frame().architecture().name()
    # For the switch in assembly, clang tells nothing about the type.
    if 'machine' not in [field.name for field in stopped.type.fields()]:
        word = gdb.lookup_type('unsigned long')
        row = stopped.address.cast(word.pointer())
        if not aarch64:
            registers = {name: row[n] for name, n in X86_64_ROW.items()}
            return registers | {'rsp': (row + 8).cast(row[0].type)}
        registers = {f'x{n}': row[n - 11] for n in range(19, 30)}
        # Without the signature of the return address.
        return registers | {'sp': (row + 22).cast(row[0].type),
                            'pc': row[19] & ((1 << 48) - 1)}
    saved = stopped['machine']['uc_mcontext']
    if aarch64:
        registers = {f'x{n}': saved['regs'][n] for n in range(19, 31)}
        return registers | {'sp': saved['sp'], 'pc': saved['pc']}
    return {name: saved['gregs'][n] for name, n in X86_64.items()}
# [/saved-registers]


# [unwinder]
class OnStackOf(Unwinder):
    """Makes a coroutine look like the caller of the innermost frame."""

    def __init__(self, coroutine):
        super().__init__('coroutine')
        self.saved = saved_registers(coroutine)
        self.sp = self.saved.get('rsp', self.saved.get('sp'))
        self.pending = True

    def __call__(self, frame):
        if not self.pending:
            return None  # the frames below are ordinary ones
        self.pending = False
        self.pc = frame.read_register('pc')  # with sp, the frame's identity
        info = frame.create_unwind_info(self)
        for name, value in self.saved.items():
            info.add_saved_register(name, value)
        return info
# [/unwinder]


# [list-of-coroutines]
def link_of(kind):
    """The base class that has the links of a List."""
    return gdb.lookup_type(f'naglfar::List<naglfar::{kind}>::Link')


def members(ring, kind):
    """Pointers to the objects of a List: those between its ends."""
    link, place = link_of(kind), gdb.lookup_type(f'naglfar::{kind}').pointer()
    ends = ring['ends_'].address.cast(link.pointer())
    one = ends['next_']
    while one != ends:
        yield one.cast(place)
        one = one['next_']


def coroutines():
    # By its symbol: an expression would be C's in a frame of the C library.
    symbol = gdb.lookup_global_symbol('naglfar::Scheduler::current_')
    scheduler = symbol.value() if symbol else None
    if not scheduler:
        return
    for group in members(scheduler['groups_'], 'TaskGroup'):
        yield from members(group['members_'], 'Coroutine')


def state_of(coroutine):
    return str(coroutine['state_']).rpartition('::')[2]


def describe(c):
    name = c['name'].string() if c['name'] else 'coroutine'
    text = f"{name} #{int(c['number_'])} {state_of(c)}"
    if c.dereference().cast(link_of('Job'))['next_']:
        return text + ', ready to run'
    if not c['waitsFor']:
        return text
    text += ', waits for ' + c['waitsFor'].string()
    on = int(c['waitsOn'])
    return text + (f', descriptor {on}' if on >= 0 else '')
# [/list-of-coroutines]


# [gdb-commands]
class Coroutines(gdb.Command):
    """coroutines: lists the coroutines of the current thread's scheduler."""

    def invoke(self, argument, from_tty):
        for coroutine in coroutines():
            print(describe(coroutine))


class OneCoroutine(gdb.Command):
    """coroutine NUMBER [COMMAND]: runs a command on a coroutine's stack."""

    def invoke(self, argument, from_tty):
        number, _, command = argument.partition(' ')
        found = [c for c in coroutines() if str(int(c['number_'])) == number]
        if not found or state_of(found[0]) != 'suspended':
            raise gdb.GdbError('No suspended coroutine has that number.')
        print(describe(found[0]))
        gdb.execute('frame 0', to_string=True)
        unwinder = OnStackOf(found[0])
        register_unwinder(None, unwinder, replace=True)
        gdb.invalidate_cached_frames()
        try:
            text = gdb.execute(command or 'backtrace', to_string=True)
        finally:
            unwinder.enabled = False
            gdb.invalidate_cached_frames()
        # Without the frame in which the thread itself is.
        print(text if command else text.partition('\n')[2], end='')
# [/gdb-commands]


Coroutines('coroutines', gdb.COMMAND_STACK)
OneCoroutine('coroutine', gdb.COMMAND_STACK)
