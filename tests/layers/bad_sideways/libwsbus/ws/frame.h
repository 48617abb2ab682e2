struct wsg_frame;
