# Sets SMSR_ONNXRUNTIME_HEADERS: the folder given, else one of the system, else what the fetch script got.
if(ONNXRUNTIME_INCLUDE_DIR)
  set(SMSR_ONNXRUNTIME_HEADERS ${ONNXRUNTIME_INCLUDE_DIR})
  if(NOT EXISTS ${SMSR_ONNXRUNTIME_HEADERS}/onnxruntime_cxx_api.h)
    message(FATAL_ERROR "ONNXRUNTIME_INCLUDE_DIR: expected a folder with onnxruntime_cxx_api.h, got "
                        "${ONNXRUNTIME_INCLUDE_DIR}")
  endif()
else()
  find_path(SMSR_SYSTEM_ONNXRUNTIME_HEADERS onnxruntime_cxx_api.h
            PATH_SUFFIXES onnxruntime onnxruntime/core/session core/session)
  set(SMSR_ONNXRUNTIME_HEADERS ${SMSR_SYSTEM_ONNXRUNTIME_HEADERS})
endif()
if(NOT SMSR_ONNXRUNTIME_HEADERS)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  set(SMSR_ONNXRUNTIME_HEADERS ${CMAKE_BINARY_DIR}/onnxruntime_headers)
  execute_process(COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/onnxruntime_headers.py
                          ${SMSR_ONNXRUNTIME_HEADERS}
                  RESULT_VARIABLE failed ERROR_VARIABLE why OUTPUT_QUIET)
  if(failed)
    message(FATAL_ERROR "${why}")
  endif()
endif()
message(STATUS "ONNX Runtime headers: ${SMSR_ONNXRUNTIME_HEADERS}")
