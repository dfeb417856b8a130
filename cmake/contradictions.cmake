# Settings that cannot be true together stop the configuration with the reason, all of them at once: what is found late, by
# a compiler check, a linker or a reader of wrong figures, costs more.
set(FA_CONTRADICTIONS "")

function(fa_contradiction)
    list(JOIN ARGN " " reason)
    set(FA_CONTRADICTIONS "${FA_CONTRADICTIONS}\n  ${reason}" PARENT_SCOPE)
endfunction()

# fa_sanitizers(OUT FLAGS…): the names behind every -fsanitize= in the flags.
function(fa_sanitizers out)
    string(REGEX MATCHALL "-fsanitize=[a-z,-]+" switches "${ARGN}")
    list(TRANSFORM switches REPLACE "^-fsanitize=" "")
    string(REPLACE "," ";" names "${switches}")
    list(REMOVE_DUPLICATES names)
    list(SORT names)
    set(${out} "${names}" PARENT_SCOPE)
endfunction()

function(fa_stop_if_contradictory)
    if(FA_CONTRADICTIONS)
        message(FATAL_ERROR "framealloc: contradictory settings:${FA_CONTRADICTIONS}")
    endif()
endfunction()

# Before project(), whose compiler check would fail without saying why.
macro(fa_check_sanitizers)
    fa_sanitizers(sanitizers "$ENV{CFLAGS} ${CMAKE_C_FLAGS}")
    foreach(pair IN ITEMS thread/address thread/leak thread/memory memory/address memory/leak)
        string(REPLACE "/" ";" pair "${pair}")
        list(GET pair 0 one)
        list(GET pair 1 other)
        if(one IN_LIST sanitizers AND other IN_LIST sanitizers)
            fa_contradiction("-fsanitize=${one} and -fsanitize=${other}: no compiler takes both."
                "Configure a build for each, see CMakePresets.json")
        endif()
    endforeach()
    fa_stop_if_contradictory()
endmacro()

# After the options and fa_enable_cxx().
macro(fa_check_options)
    string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
    if(PROJECT_IS_TOP_LEVEL AND CMAKE_BUILD_TYPE AND "${CMAKE_C_FLAGS_${build_type}}" STREQUAL "")
        fa_contradiction("CMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE} means nothing: it would be built without optimisation."
            "Use Release, RelWithDebInfo or Debug")
    endif()
    if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR NOT CMAKE_SIZEOF_VOID_P EQUAL 8
       OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64|aarch64|arm64)$")
        math(EXPR bits "8 * ${CMAKE_SIZEOF_VOID_P}")
        fa_contradiction("${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}, ${bits} bits: framealloc is for Linux on"
            "x86-64 and aarch64, 64 bits")
    endif()
    fa_sanitizers(sanitizers "${CMAKE_C_FLAGS}")
    fa_sanitizers(sanitizers_cxx "${CMAKE_CXX_FLAGS}")
    if(CMAKE_CXX_COMPILER AND NOT sanitizers STREQUAL sanitizers_cxx)
        fa_contradiction("CMAKE_C_FLAGS sanitizes (${sanitizers}), CMAKE_CXX_FLAGS (${sanitizers_cxx}): programs in C++"
            "would not link. Give both the same -fsanitize")
    endif()
    if(FA_CONTENTION AND FA_BUILD_BENCH)
        fa_contradiction("FA_CONTENTION=ON and FA_BUILD_BENCH=ON: the benchmarks would measure the counters."
            "They link a library of their own where they need those")
    endif()
    foreach(programs IN ITEMS FA_BUILD_STRESS FA_BUILD_EXAMPLES)
        if(NOT FA_STATISTICS AND ${programs})
            fa_contradiction("FA_STATISTICS=OFF and ${programs}=ON: those programs compare the library's figures with"
                "their own, and would find none")
        endif()
    endforeach()
    fa_stop_if_contradictory()
endmacro()
