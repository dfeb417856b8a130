# Builds the library with everything left out that can be, runs the tests that say what it answers then and some that it must still
# pass, and looks whether any of what was left out is there. Run by CTest.
cmake_minimum_required(VERSION 3.25)

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT result EQUAL 0)
        list(JOIN ARGN " " command)
        message(FATAL_ERROR "${command}\n${output}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

set(tests tag behavior event frame jobs pool promote)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK} -D CMAKE_C_COMPILER=${CC} -D CMAKE_BUILD_TYPE=Debug -D FA_WERROR=ON
    -D FA_STATISTICS=OFF -D FA_TRACE=OFF -D FA_BUILD_TESTS=ON)
list(TRANSFORM tests PREPEND test_ OUTPUT_VARIABLE targets)
run(${CMAKE_COMMAND} --build ${WORK} --parallel 2 --target ${targets})
list(JOIN tests "|" names)
run(${CMAKE_CTEST_COMMAND} --test-dir ${WORK} --output-on-failure --no-tests=error -R "^(${names})$")
message(STATUS "${output}")

run(${NM} --defined-only ${WORK}/libframealloc.a)
foreach(name IN ITEMS fai_account_charge_any fai_names_child_any fai_ledger_add fai_lane_switch_label fai_memory_publish
        fai_snapshot_fill)
    if(output MATCHES " T ${name}\n")
        message(FATAL_ERROR "${name} is there")
    endif()
endforeach()
