# Finds the headers of TensorRT and CUDA: of JetPack and Debian packages, NVIDIA's images, TENSORRT_ROOT (an unpacked
# archive), TENSORRT_INCLUDE (headers alone). Sets SMSR_TENSORRT_HEADERS, SMSR_TENSORRT_VERSION,
# SMSR_TENSORRT_MAJOR, SMSR_TENSORRT_LIBRARY (may be missing) and SMSR_CUDA_HEADERS; nothing but a line of status where
# there is no TensorRT.
set(TENSORRT_INCLUDE "" CACHE PATH "Folder of NvInfer.h; empty: search")
set(TENSORRT_ROOT "$ENV{TENSORRT_ROOT}" CACHE PATH "Folder with TensorRT's include and lib; empty: search")
set(CUDA_INCLUDE "" CACHE PATH "Folder of cuda_runtime_api.h; empty: search")
set(SMSR_TENSORRT_MAJOR "")

foreach(given TENSORRT_INCLUDE:NvInferRuntime.h CUDA_INCLUDE:cuda_runtime_api.h)
  string(REPLACE ":" ";" given ${given})
  list(GET given 0 option)
  list(GET given 1 header)
  if(${option} AND NOT EXISTS ${${option}}/${header})
    message(FATAL_ERROR "${option}: expected a folder with ${header}, got ${${option}}")
  endif()
endforeach()

find_path(SMSR_TENSORRT_HEADERS NvInferRuntime.h
          HINTS ${TENSORRT_INCLUDE} ${TENSORRT_ROOT}/include
          PATHS /usr/include/aarch64-linux-gnu /usr/include/x86_64-linux-gnu /usr/local/tensorrt/include
                /opt/tensorrt/include)
find_path(SMSR_CUDA_HEADERS cuda_runtime_api.h
          HINTS ${CUDA_INCLUDE} $ENV{CUDA_HOME}/include
          PATHS /usr/local/cuda/include /usr/local/cuda/targets/aarch64-linux/include
                /usr/local/cuda/targets/x86_64-linux/include /usr/local/cuda/targets/sbsa-linux/include)
if(NOT SMSR_CUDA_HEADERS)  # those of an nvcc in another place
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND)
    find_path(SMSR_CUDA_HEADERS cuda_runtime_api.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  endif()
endif()
if(NOT SMSR_TENSORRT_HEADERS OR NOT SMSR_CUDA_HEADERS)
  message(STATUS "TensorRT: no headers of TensorRT or CUDA found, so libsmsr_trt is not built (set TENSORRT_ROOT or "
                 "TENSORRT_INCLUDE, and CUDA_INCLUDE)")
  return()
endif()

# Some releases define NV_TENSORRT_* as numbers, others through TRT_*_ENTERPRISE.
file(STRINGS ${SMSR_TENSORRT_HEADERS}/NvInferVersion.h numbers
     REGEX "#define (NV_TENSORRT|TRT)_(MAJOR|MINOR|PATCH)(_ENTERPRISE)? +[0-9]+")
set(SMSR_TENSORRT_VERSION "")
foreach(part MAJOR MINOR PATCH)
  if(NOT "${numbers}" MATCHES "(NV_TENSORRT|TRT)_${part}(_ENTERPRISE)? +([0-9]+)")
    message(FATAL_ERROR "TensorRT: expected version numbers in ${SMSR_TENSORRT_HEADERS}/NvInferVersion.h, got none")
  endif()
  list(APPEND SMSR_TENSORRT_VERSION ${CMAKE_MATCH_3})
endforeach()
list(GET SMSR_TENSORRT_VERSION 0 SMSR_TENSORRT_MAJOR)
list(JOIN SMSR_TENSORRT_VERSION "." SMSR_TENSORRT_VERSION)
if(SMSR_TENSORRT_VERSION VERSION_LESS 8.5 OR SMSR_TENSORRT_MAJOR EQUAL 9)
  message(FATAL_ERROR "TensorRT: expected 8.5, 8.6, 10 or newer, got ${SMSR_TENSORRT_VERSION} in "
                      "${SMSR_TENSORRT_HEADERS}")
endif()
find_library(SMSR_TENSORRT_LIBRARY nvinfer
             HINTS ${TENSORRT_ROOT}/lib PATHS /usr/lib/aarch64-linux-gnu /usr/lib/x86_64-linux-gnu)
message(STATUS "TensorRT: ${SMSR_TENSORRT_VERSION} headers in ${SMSR_TENSORRT_HEADERS}")
