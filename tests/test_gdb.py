"""The gdb commands, tried on a program with parked coroutines.

    test_gdb.py PROGRAM

PROGRAM is tests/gdb_program.cpp, compiled; NAGLFAR_GDB_PROGRAM in the
environment may name it as well. Where there is no gdb, or it may not trace
a program, the tests are skipped and say so.
"""

import glob
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      '..', 'src', 'naglfar', 'gdb.py')
PROGRAM = os.environ.get('NAGLFAR_GDB_PROGRAM')


def gdb(*commands, target=()):
    """What gdb prints when it executes these commands."""
    arguments = ['gdb', '-nx', '-batch', '-x', SCRIPT]
    for command in ('set style enabled off', 'set width 0',
                    'set debuginfod enabled off', *commands):
        arguments += ['-ex', command]
    if not target:
        target = ['--args', PROGRAM]
    done = subprocess.run([*arguments, *target], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120)
    return done.stdout


class GdbTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not PROGRAM:
            raise unittest.SkipTest('no program is given to look at')
        if not shutil.which('gdb'):
            raise unittest.SkipTest('gdb is not installed')
        if 'python works' not in gdb('python print("python" + " works")'):
            raise unittest.SkipTest('this gdb has no Python')
        text = gdb('break breakHere', 'run', 'kill')
        if 'Breakpoint 1, ' not in text:
            raise unittest.SkipTest('gdb cannot trace a program here: ' + text)
        if 'found: True' not in gdb('break breakHere', 'run',
                                    'python print("found: %s" % '
                                    '(gdb.parse_and_eval("naglfar::Scheduler'
                                    '::current_") != 0))', 'kill'):
            raise unittest.SkipTest('gdb cannot read thread-local variables')

    def at_the_breakpoint(self, *commands):
        return gdb('break breakHere', 'run', *commands, 'kill')

    def list_of(self, text):
        return dict(re.findall(r'^([a-z ]+) #\d+ (\w.*)$', text, re.M))

    def number(self, name):
        return self.numbers(self.at_the_breakpoint('coroutines'))[name]

    def numbers(self, text):
        return dict(re.findall(r'^([a-z ]+) #(\d+) ', text, re.M))

    def frames(self, text):
        """The functions of a backtrace, innermost first."""
        return re.findall(r'^#\d+ +(?:0x[0-9a-f]+ in )?'
                          r'((?:[^\s(]|\(anonymous namespace\))+) ?\(', text,
                          re.M)

    def test_coroutines_lists_all_with_what_they_wait_for(self):
        text = self.at_the_breakpoint('coroutines')
        listed = self.list_of(text)
        self.assertEqual(list(listed),
                         ['byte reader', 'callee', 'sleeper', 'newcomer',
                          'member'], text)
        self.assertRegex(listed['byte reader'],
                         r'^suspended, waits for a descriptor to read from, '
                         r'descriptor \d+$')
        self.assertEqual(listed['callee'], 'suspended, waits for a call')
        self.assertEqual(listed['sleeper'],
                         'suspended, waits for time to pass')
        self.assertEqual(listed['newcomer'], 'made, ready to run')
        self.assertEqual(listed['member'], 'suspended, waits for a call')

    def test_backtrace_shows_where_each_is_parked(self):
        for name, function, others in (
                ('byte reader', 'waitForBytes', ('ACall', 'Time')),
                ('callee', 'waitForACall', ('Bytes', 'Time')),
                ('sleeper', 'waitForTime', ('Bytes', 'ACall'))):
            with self.subTest(name):
                text = self.at_the_breakpoint('coroutine '
                                              + self.number(name))
                frames = self.frames(text)
                self.assertIn(f'(anonymous namespace)::{function}', frames,
                              text)
                for other in others:
                    self.assertNotIn('waitFor' + other, text)
                self.assertIn('naglfar::Coroutine::suspend', frames, text)
                self.assertIn('naglfar::Coroutine::entry', frames, text)
                self.assertNotIn('main', frames, text)
                self.assertNotRegex(text, r'(?m)^#0')
                self.assertNotIn('corrupt stack', text)
                # The assembly says where it ends; below the last frame of
                # ucontext(3) gdb shows one that is nobody's.
                if 'naglfar_bottom' in frames:
                    self.assertEqual(frames[-1], 'naglfar_bottom', text)

    def test_each_frame_has_its_arguments(self):
        text = self.at_the_breakpoint('coroutine '
                                      + self.number('byte reader'))
        self.assertEqual(re.findall(r'waitForBytes \(depth=(?:\w+@entry=)?'
                                    r'(\d)', text),
                         ['0', '1', '2', '3'], text)

    def test_any_command_runs_on_the_coroutines_stack(self):
        number = self.number('callee')
        text = self.at_the_breakpoint(
            f'coroutine {number} frame function waitForACall')
        self.assertIn('waitForACall (number=', text)

    def test_the_program_is_as_it_was(self):
        number = self.number('callee')
        text = gdb('break breakHere', 'run', f'coroutine {number}',
                   'echo own\\n', 'backtrace', 'continue')
        own = text.partition('own\n')[2]
        self.assertIn('main', self.frames(own), text)
        self.assertNotIn('waitForACall', own)
        self.assertIn('exited normally', own)

    def test_a_number_that_nobody_has(self):
        for number in ('99999', '', 'x', self.number('newcomer')):
            text = self.at_the_breakpoint(f'coroutine {number}')
            self.assertIn('No suspended coroutine has that number.', text)

    def test_a_core_file_is_enough(self):
        # One from the kernel: gdb's own generate-core-file gives up on a
        # mapping at the first page that cannot be read, and ours have guards.
        with tempfile.TemporaryDirectory() as folder:
            limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
            subprocess.run([os.path.abspath(PROGRAM), 'abort'], cwd=folder,
                           stdout=subprocess.DEVNULL,
                           preexec_fn=lambda: resource.setrlimit(
                               resource.RLIMIT_CORE, (limit, limit)))
            cores = glob.glob(os.path.join(folder, 'core*'))
            if not cores:
                self.skipTest('this system leaves no core file')
            text = gdb('coroutines', target=[PROGRAM, cores[0]])
            number = self.numbers(text)['callee']
            text = gdb('coroutines', f'coroutine {number}',
                       target=[PROGRAM, cores[0]])
            self.assertEqual(len(self.list_of(text)), 5, text)
            self.assertIn('(anonymous namespace)::waitForACall',
                          self.frames(text), text)


if __name__ == '__main__':
    if len(sys.argv) > 1 and os.path.exists(sys.argv[1]):
        PROGRAM = sys.argv.pop(1)
    unittest.main()
