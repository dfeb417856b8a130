# Installs the build into a prefix of its own, then uses it as a stranger would: through find_package with the static
# and the shared library, and through pkg-config. Run by CTest.
cmake_minimum_required(VERSION 3.25)

# In the test's own folder: examples write files, and another test may run the same ones at this time.
function(run)
    execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT result EQUAL 0)
        list(JOIN ARGN " " command)
        message(FATAL_ERROR "${command}\n${output}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

# The prefix is moved after the installation: nothing may remember where it was.
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --config "${CONFIG}" --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${WORK}/prefix)

foreach(shared IN ITEMS OFF ON)
    set(build ${WORK}/shared-${shared})
    run(${CMAKE_COMMAND} -S ${SOURCE}/examples/outside -B ${build} -D CMAKE_PREFIX_PATH=${WORK}/prefix
        -D BUILD_SHARED_LIBS=${shared} -D CMAKE_BUILD_TYPE=${CONFIG}
        -D CMAKE_C_COMPILER=${CC} -D "CMAKE_C_FLAGS=${FLAGS}" -D "CMAKE_CXX_FLAGS=${FLAGS}")
    run(${CMAKE_COMMAND} --build ${build})
    include(${SOURCE}/examples/list.cmake)
    foreach(example IN LISTS fa_examples)
        if(NOT (example STREQUAL "leak_hunt" AND FLAGS MATCHES "fsanitize")) # wrong on purpose
            run(${build}/${example})
        endif()
    endforeach()
    foreach(example IN LISTS fa_examples_cxx)
        if(EXISTS ${build}/${example})
            run(${build}/${example})
        endif()
    endforeach()
    message(STATUS "find_package, shared libraries ${shared}: ${output}")
endforeach()

set(ENV{PKG_CONFIG_PATH} ${WORK}/prefix/${LIBDIR}/pkgconfig)
run(pkg-config --cflags --libs framealloc)
separate_arguments(flags UNIX_COMMAND "${FLAGS} ${output}")
run(${CC} -std=c17 ${SOURCE}/examples/first_tick.c -o ${WORK}/with_pkg_config ${flags}
    -Wl,-rpath,${WORK}/prefix/${LIBDIR})
run(${WORK}/with_pkg_config)
message(STATUS "pkg-config: ${output}")
