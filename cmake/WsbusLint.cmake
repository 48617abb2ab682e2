# The targets 'format', 'check-format' and 'check-tidy'. They are steps of the workflow preset 'check', never of 'all'.
set(lint "${PROJECT_SOURCE_DIR}/cmake/lint.sh")
add_custom_target(format COMMAND "${lint}" format USES_TERMINAL)
add_custom_target(check-format COMMAND "${lint}" check-format USES_TERMINAL)
add_custom_target(check-tidy COMMAND "${lint}" check-tidy "${PROJECT_BINARY_DIR}" USES_TERMINAL)
