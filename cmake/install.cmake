# What an installation holds: headers, both libraries, the CMake package, the pkg-config file.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/framealloc)

install(TARGETS framealloc_static framealloc_shared EXPORT framealloc-targets FILE_SET HEADERS)
install(EXPORT framealloc-targets NAMESPACE framealloc:: DESTINATION ${package_dir})

configure_package_config_file(cmake/framealloc-config.cmake.in framealloc-config.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(framealloc-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/framealloc-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/framealloc-config-version.cmake
    DESTINATION ${package_dir})

# The .pc file finds its prefix from where it lies, so an installed tree can be moved.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/framealloc.pc.in framealloc.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/framealloc.pc DESTINATION ${pc_dir})
