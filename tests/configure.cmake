# Configures the project in several ways and reads what it says: what was found, what is off, what is missing and how to
# install it, each once; and the reason where settings contradict each other. Run by CTest.
cmake_minimum_required(VERSION 3.25)

set(ENV{CFLAGS} "")
set(ENV{CXXFLAGS} "")
file(REMOVE_RECURSE ${WORK})
set(none -D FA_BUILD_TESTS=OFF -D FA_BUILD_STRESS=OFF -D FA_BUILD_BENCH=OFF -D FA_BUILD_EXAMPLES=OFF)

# configure(NAME ARGUMENTS…): sets `result`, and `output` with white space folded.
function(configure name)
    execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/${name} -D CMAKE_C_COMPILER=${CC} ${ARGN}
        RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    string(REGEX REPLACE "[ \n]+" " " output "${output}")
    set(result ${result} PARENT_SCOPE)
    set(output "${output}" PARENT_SCOPE)
    set(name ${name} PARENT_SCOPE)
endfunction()

function(expect_times times words)
    string(LENGTH "${words}" length)
    string(REPLACE "${words}" "" rest "${output}")
    string(LENGTH "${output}" before)
    string(LENGTH "${rest}" after)
    math(EXPR found "(${before} - ${after}) / ${length}")
    if(NOT found EQUAL times)
        message(FATAL_ERROR "${name}: \"${words}\" is there ${found} times, not ${times}:\n${output}")
    endif()
endfunction()

function(expect_success)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "${name}: ${output}")
    endif()
endfunction()

function(expect_refused)
    if(result EQUAL 0)
        message(FATAL_ERROR "${name}: was accepted:\n${output}")
    endif()
    foreach(words IN LISTS ARGN)
        expect_times(1 "${words}")
    endforeach()
endfunction()

# What is there and what is off.
configure(library ${none})
expect_success()
expect_times(1 ": found ck ")
expect_times(1 ", liburcu ")
expect_times(1 "off: FA_BUILD_TESTS, FA_BUILD_STRESS, FA_BUILD_BENCH, FA_BUILD_EXAMPLES, FA_CONTENTION")
expect_times(0 "missing")
configure(library ${none}) # again in the same place
expect_success()
expect_times(1 ": found ck ")

# What is missing: a package path with nothing but what the library cannot do without.
foreach(package IN ITEMS ck liburcu-qsbr)
    execute_process(COMMAND ${PKG_CONFIG} --variable=pcfiledir ${package} OUTPUT_VARIABLE folder
        OUTPUT_STRIP_TRAILING_WHITESPACE)
    file(COPY ${folder}/${package}.pc DESTINATION ${WORK}/packages)
    file(GLOB others ${folder}/liburcu*.pc)
    file(COPY ${others} DESTINATION ${WORK}/packages)
endforeach()
set(ENV{PKG_CONFIG_PATH} "")
set(ENV{PKG_CONFIG_LIBDIR} ${WORK}/packages)
configure(missing ${none} -D FA_BUILD_TESTS=ON)
expect_success()
expect_times(1 "missing cmocka: no unit tests (apt install libcmocka-dev)")
expect_times(1 "off: FA_BUILD_STRESS, FA_BUILD_BENCH, FA_BUILD_EXAMPLES, FA_CONTENTION")
file(MAKE_DIRECTORY ${WORK}/nothing)
set(ENV{PKG_CONFIG_LIBDIR} ${WORK}/nothing)
configure(nothing ${none})
expect_refused("framealloc cannot be built without:" "apt install libck-dev" "apt install liburcu-dev")
unset(ENV{PKG_CONFIG_LIBDIR})
unset(ENV{PKG_CONFIG_PATH})

# Contradictions.
configure(two_sanitizers ${none} -D CMAKE_C_FLAGS=-fsanitize=undefined,address\ -fsanitize=thread)
expect_refused("contradictory settings" "-fsanitize=thread and -fsanitize=address: no compiler takes both")
expect_times(0 "Check for working C compiler")
set(ENV{CFLAGS} -fsanitize=thread,leak)
configure(by_environment ${none})
expect_refused("-fsanitize=thread and -fsanitize=leak: no compiler takes both")
set(ENV{CFLAGS} "")
configure(half_sanitized ${none} -D FA_BUILD_TESTS=ON -D CMAKE_C_FLAGS=-fsanitize=undefined)
expect_refused("CMAKE_C_FLAGS sanitizes (undefined), CMAKE_CXX_FLAGS (): programs in C++ would not link")
configure(counted_benchmarks ${none} -D FA_BUILD_BENCH=ON -D FA_CONTENTION=ON -D CMAKE_BUILD_TYPE=Relase)
expect_refused("FA_CONTENTION=ON and FA_BUILD_BENCH=ON: the benchmarks would measure the counters"
    "CMAKE_BUILD_TYPE=Relase means nothing") # all at once
configure(no_figures ${none} -D FA_STATISTICS=OFF -D FA_BUILD_STRESS=ON -D FA_BUILD_EXAMPLES=ON)
expect_refused("FA_STATISTICS=OFF and FA_BUILD_STRESS=ON: those programs compare the library's figures with their own"
    "FA_STATISTICS=OFF and FA_BUILD_EXAMPLES=ON")
configure(lean -D FA_STATISTICS=OFF -D FA_BUILD_TESTS=OFF -D FA_BUILD_BENCH=OFF) # what would want them is off by itself
expect_success()
expect_times(1 "off: FA_BUILD_TESTS, FA_BUILD_STRESS, FA_BUILD_BENCH, FA_BUILD_EXAMPLES, FA_CONTENTION, FA_STATISTICS")
configure(other_system ${none} -D CMAKE_SYSTEM_NAME=Linux -D CMAKE_SYSTEM_PROCESSOR=riscv64)
expect_refused("Linux on riscv64, 64 bits: framealloc is for Linux on x86-64 and aarch64")
message(STATUS "8 refused, 5 accepted")
