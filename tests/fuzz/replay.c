/* Runs a fuzz target over stored inputs without libFuzzer, so that every build replays the corpus and the regressions. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    struct stat st;
    int result = -1;
    if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode)) {
        size_t size = (size_t)st.st_size;
        uint8_t *data = malloc(size ? size : 1); /* exact size: an overrun of one byte is seen by the sanitizer */
        if (data && fread(data, 1, size, f) == size)
            result = LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    (void)fclose(f);
    return result;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir)
            continue; /* a target without regressions has no such folder */
        for (struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            if (e->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            if (replay_file(path) < 0) {
                (void)fprintf(stderr, "cannot replay %s\n", path);
                closedir(dir);
                return 1;
            }
            count++;
        }
        closedir(dir);
    }
    printf("%u inputs replayed\n", count);
    return count > 0 ? 0 : 1; /* a target whose corpus is missing tests nothing */
}
