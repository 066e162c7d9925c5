# Defines the target nonlin_highway: an installed Highway if there is one, else a pinned release, built as a static library.

add_library(nonlin_highway INTERFACE)
find_package(hwy 1.0.3 CONFIG QUIET)
if(hwy_FOUND)
  message(STATUS "Found Highway ${hwy_VERSION}: ${hwy_DIR}")
  set(highway_version ${hwy_VERSION})
  get_target_property(type hwy::hwy TYPE)
  if(type STREQUAL "SHARED_LIBRARY" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|aarch64|arm64" AND
     CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # The headers alone: nobody who installs a wheel has this library.
    get_target_property(highway_include hwy::hwy INTERFACE_INCLUDE_DIRECTORIES)
    target_include_directories(nonlin_highway SYSTEM INTERFACE ${highway_include})
    target_sources(nonlin_highway INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/cpp/runtime/highway.cc)
  else()
    target_link_libraries(nonlin_highway INTERFACE hwy::hwy)
  endif()
  return()
endif()

set(highway_version 1.4.0)
set(highway_sha256 e72241ac9524bb653ae52ced768b508045d4438726a303f10181a38f764a453c)
set(highway_url https://github.com/google/highway/archive/refs/tags/${highway_version}.tar.gz)
set(highway_archive ${CMAKE_CURRENT_BINARY_DIR}/highway-${highway_version}.tar.gz)

# Downloaded here rather than by FetchContent, whose error message does not say what to do.
if(NOT FETCHCONTENT_SOURCE_DIR_HIGHWAY AND NOT EXISTS ${highway_archive})
  message(STATUS "No Highway >= 1.0.3 installed: downloading ${highway_url}")
  file(DOWNLOAD ${highway_url} ${highway_archive} STATUS status INACTIVITY_TIMEOUT 30 TIMEOUT 300)
  file(SHA256 ${highway_archive} sha256)
  if(NOT sha256 STREQUAL highway_sha256)
    file(REMOVE ${highway_archive})
    message(FATAL_ERROR
      "nonlin needs Highway >= 1.0.3 (https://github.com/google/highway). None is installed, and\n"
      "  ${highway_url}\n"
      "could not be downloaded (status ${status}, SHA256 ${sha256}).\n"
      "Install it with one of\n"
      "  apt install libhwy-dev        (Debian 12, Ubuntu 23.04, and later)\n"
      "  dnf install highway-devel     (Fedora)\n"
      "  brew install highway          (macOS)\n"
      "  conda install -c conda-forge libhwy\n"
      "or unpack its sources somewhere and point at them:\n"
      "  CMAKE_ARGS=-DFETCHCONTENT_SOURCE_DIR_HIGHWAY=/path/to/highway pip install .")
  endif()
endif()

foreach(unwanted CONTRIB EXAMPLES INSTALL TESTS)
  set(HWY_ENABLE_${unwanted} OFF CACHE INTERNAL "")
endforeach()
set(HWY_FORCE_STATIC_LIBS ON CACHE INTERNAL "")

include(FetchContent)
FetchContent_Declare(highway URL ${highway_archive} URL_HASH SHA256=${highway_sha256})
FetchContent_MakeAvailable(highway)
if(NOT TARGET hwy::hwy)
  add_library(hwy::hwy ALIAS hwy)
endif()
# Our warnings do not apply to its headers.
get_target_property(highway_include hwy INTERFACE_INCLUDE_DIRECTORIES)
set_target_properties(hwy PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${highway_include}")
target_link_libraries(nonlin_highway INTERFACE hwy::hwy)
