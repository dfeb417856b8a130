// SPDX-License-Identifier: MIT
//
// C++ that must not compile, one piece per value of WRONG; with 0 it must. As refused_code.c.
#include <framealloc/framealloc.hpp>

#include <vector>

struct base { // what derives from it could not be destroyed through it
    virtual int value() const = 0;
};

struct derived final : base {
    int value() const override
    {
        return 1;
    }
};

int use(fa_worker *w)
{
    fa::scope scope(w);
    fa::checkpoint checkpoint(w);
    auto made = fa::make_pool<derived>(w);
    std::vector<int, fa::frame_allocator<int>> numbers{fa::frame_allocator<int>(w)};
#if WRONG == 1
    fa::pool_ptr<base> through_base(nullptr, fa::deleter<FA_HOME_POOL>(w->system));
#elif WRONG == 2
    fa::scope copy = scope;
#elif WRONG == 3
    fa::checkpoint copy = checkpoint;
#elif WRONG == 4
    fa::heap_ptr<derived> elsewhere = std::move(made);
#elif WRONG == 5
    std::vector<int, fa::frame_allocator<int>> nowhere(10);
#elif WRONG == 6
    std::vector<int, fa::pool_allocator<int>> other = std::move(numbers);
#endif
    checkpoint.commit();
    return made->value() + static_cast<int>(numbers.size());
}
