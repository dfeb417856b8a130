# For Debian's cross compiler: libraries for aarch64 lie beside those of the machine (dpkg --add-architecture arm64), and CTest runs what is built
# under qemu-user. The preset `aarch64` uses it; docs/technical.md says how.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(PKG_CONFIG_EXECUTABLE aarch64-linux-gnu-pkg-config CACHE FILEPATH "pkg-config for aarch64")
# In 16 GiB of addresses: qemu 7.2 keeps a record for each page that a program reserves, and a system reserves 64 GiB where it can have them, which
# takes seconds and 600 MB then.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -R 0x400000000)
