# The examples that are one file each, public headers only: built with the tree, and by tests/outside.cmake against the installed package.
set(fa_examples
    allocator_table
    behavior
    budgets
    collections
    diagnostics
    first_tick
    game_loop
    handles
    handover
    job_tree
    leak_hunt
    level_loading
    observe
    promotion
    scratch
    speculation
    streaming
    trace)
# In C++, built where there is a compiler for it.
set(fa_examples_cxx
    pmr)
