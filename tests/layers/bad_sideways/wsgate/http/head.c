#  include "ws/frame.h" /* for the masks */
