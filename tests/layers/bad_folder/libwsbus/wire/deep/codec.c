int codec;
