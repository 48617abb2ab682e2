# How every target is hardened, a library that is built along included. Flags that the compiler does not know are left out;
# tests/install/hardening.py says what has to be there, in the commands and in the files that come of them.
include(CheckCCompilerFlag)
include(CheckPIESupported)

check_pie_supported(OUTPUT_VARIABLE pie_problem LANGUAGES C)
if(NOT CMAKE_C_LINK_PIE_SUPPORTED)
    message(WARNING "programs are not position independent: ${pie_problem}")
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON) # -fPIE and -pie for programs, whatever the compiler does by itself

add_library(wsbus_hardening INTERFACE)
if(WSBUS_SANITIZE)
    return() # the sanitizers bring their own
endif()

set(flags
    -fstack-protector-strong   # an overflow of a buffer ends the program before it returns
    -fstack-clash-protection   # large frames touch each page, so that none jumps over the guard
    -ftrivial-auto-var-init=zero) # nothing of an earlier call is left in a variable
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i.86)$")
    list(APPEND flags -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    list(APPEND flags -mbranch-protection=standard)
endif()
foreach(flag IN LISTS flags)
    string(MAKE_C_IDENTIFIER "WSBUS_HAS${flag}" known)
    check_c_compiler_flag("${flag}" ${known})
    if(${known})
        target_compile_options(wsbus_hardening INTERFACE "${flag}")
    endif()
endforeach()
# FORTIFY needs an optimised build. Undefined first: distributions define another level.
target_compile_options(wsbus_hardening INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
target_link_options(wsbus_hardening INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
