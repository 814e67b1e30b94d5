"""The chaining example: a number through N coroutines."""

import program


class Chaining(program.TestCase):

    def test_each_coroutine_adds_one(self):
        for n in 1, 1000:
            result = program.run(n)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout,
                             f"Chaining with {n} coroutines\n{n}\n")

    def test_bad_numbers_are_refused(self):
        for number in "many", "0", "-1", "9" * 30:
            self.refused(number)
        self.refused(1, 2)


program.main()
