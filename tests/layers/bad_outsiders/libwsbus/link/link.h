struct wsb_link;
