"""The doctor: its numbers agree with the limits that it is started under."""

import program


class Doctor(program.TestCase):

    def test_it_prints_the_limits(self):
        result = program.run(preexec_fn=lambda: program.descriptors(1016))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"hard limit +1016\n")
        self.assertRegex(result.stdout, r"one process +500\n")
        self.assertRegex(result.stdout, r"in a child +1000\n")
        self.assertIn("What binds", result.stdout)

    def test_it_prints_single_numbers(self):
        for option, expected in ("--largest", 500), ("--largest-in-child",
                                                     1000):
            result = program.run(
                option, preexec_fn=lambda: program.descriptors(1016))
            self.assertEqual(result.stdout, f"{expected}\n")

    def test_arguments_are_refused(self):
        self.refused("10000")
        self.refused("--largest", "--largest")


program.main()
