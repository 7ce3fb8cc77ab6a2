"""An app whose kinds of jobs the tests of workers start, in processes of their own."""
