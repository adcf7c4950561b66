/* machine.h - what the fake libraries of a driver read: the file named in $FAKE_NVML, again at every call, so a test
 * changes the machine by writing it anew. Lines:
 *
 *     gpus 2                             none: there is no GPU
 *     minor 1 5                          GPU 1 is /dev/nvidia5
 *     set 0 utilization 87               a value of GPU 0, else the usual one
 *     fail nvmlInit_v2 9                 the function returns 9
 *     fail nvmlDeviceGetPowerUsage 3 1   for GPU 1 only
 *     xid 1 79                           an event, told to whoever registered before the line was there
 *     hang ncclAllReduce 1               for GPU 1 the function never returns (CUDA's and NCCL's)
 *     crash cuInit 1                     for GPU 1 the function ends the process
 *     fork ncclAllReduce 1               for GPU 1 the function leaves a process that stays, whatever it is told */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAYBE  __attribute__((unused))

struct line {
    char word[64], name[64];
    int a, b, c;
};

/* Calls 'each' with every line that begins with 'word'; a result other than 0 ends it. */
static int each_line(const char *word, int (*each)(const struct line *, void *), void *context)
{
    const char *path = getenv("FAKE_NVML");
    FILE *f = path ? fopen(path, "re") : NULL;
    char text[256];
    int r = 0;

    while (f && !r && fgets(text, sizeof text, f)) {
        struct line l = { .c = -1 };

        if (sscanf(text, "%63s", l.word) != 1 || strcmp(l.word, word) != 0)
            continue;
        if (strcmp(word, "fail") == 0)
            sscanf(text, "%*s %63s %d %d", l.name, &l.a, &l.c);
        else if (strcmp(word, "hang") == 0 || strcmp(word, "crash") == 0 || strcmp(word, "fork") == 0)
            sscanf(text, "%*s %63s %d", l.name, &l.c);
        else if (strcmp(word, "set") == 0)
            sscanf(text, "%*s %d %63s %d", &l.a, l.name, &l.b);
        else
            sscanf(text, "%*s %d %d", &l.a, &l.b);
        r = each(&l, context);
    }
    if (f)
        fclose(f);
    return r;
}

static int first_number(const struct line *l, void *context)
{
    *(int *)context = l->a;
    return 1;
}

MAYBE static int gpu_count(void)
{
    int count = 0;

    each_line("gpus", first_number, &count);
    return count;
}

struct wanted {
    const char *name;
    int gpu, value;
};

static int find_failure(const struct line *l, void *context)
{
    struct wanted *w = context;

    if (strcmp(l->name, w->name) != 0 || (l->c >= 0 && l->c != w->gpu))
        return 0;
    w->value = l->a ? l->a : 1;
    return 1;
}

static int find_value(const struct line *l, void *context)
{
    struct wanted *w = context;

    if (l->a == w->gpu && strcmp(l->name, w->name) == 0)
        w->value = l->b;
    return 0;
}

MAYBE static int failure(const char *function, int gpu)
{
    struct wanted w = { function, gpu, 0 };

    each_line("fail", find_failure, &w);
    return w.value;
}

MAYBE static int value_of(int gpu, const char *name, int usual)
{
    struct wanted w = { name, gpu, usual };

    each_line("set", find_value, &w);
    return w.value;
}

MAYBE static void misbehave(const char *function, int gpu)
{
    struct wanted w = { function, gpu, 0 };

    each_line("fork", find_failure, &w);
    if (w.value && fork() == 0)
        for (signal(SIGTERM, SIG_IGN);;)
            pause();
    w.value = 0;
    each_line("crash", find_failure, &w);
    if (w.value)
        abort();
    w.value = 0;
    each_line("hang", find_failure, &w);
    while (w.value)
        pause();
}

/* Which of them is at this place of $CUDA_VISIBLE_DEVICES, "GPU-00000000-0000-0000-0000-000000000001,..."; without it
 * there are all, in another order than NVML's. -1: there is none. */
MAYBE static int gpu_visible(int place)
{
    const char *v = getenv("CUDA_VISIBLE_DEVICES"), *last;
    int gpu;

    if (!v)
        return place < gpu_count() ? gpu_count() - 1 - place : -1;
    for (; v && place > 0; place--)
        v = strchr(v + 1, ',');
    last = v ? v + strcspn(v + 1, ",") : NULL;
    while (last > v && last[-1] != '-')
        last--;
    gpu = last ? atoi(last) : -1;
    return gpu < gpu_count() ? gpu : -1;
}

#endif
