struct wsg_misc;
