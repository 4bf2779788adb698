"""The content of a prompt: words, standard input, text files, images and documents."""
