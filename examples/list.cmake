# The examples that are one file each, C and public headers only: built with the tree, and by tests/outside.cmake against the installed
# package.
set(fa_examples
    budgets
    first_tick
    observe
    promotion
    trace)
