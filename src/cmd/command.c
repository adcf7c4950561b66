/* command.c - from the words of the command line to the function of a command, and --help. */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/str.h"
#include "cmd/settings.h"
#include "doc/json.h"

const char *command_data;

enum { OPTIONS_MOST = 32 }; /* among which the nearest to a mistyped one is looked for */

static const struct command_option common[] = {
    { "data", "DIR",
      "The data directory. Default: $SAGEBRUSH_DATA, else /var/lib/sagebrush for root and ~/.local/share/sagebrush for "
      "others.",
      .text = &command_data },
    {},
};

static void print_paragraph(const char *at, const char *end, int margin)
{
    const size_t room = (size_t)(100 - margin);

    while (at < end) {
        size_t size = (size_t)(end - at);

        if (size > room)
            for (size = room; size > 0 && at[size] != ' '; size--)
                ;
        if (size == 0)
            size = strcspn(at, " \n");
        printf("%*s%.*s\n", margin, "", (int)size, at);
        at += size;
        while (at < end && *at == ' ')
            at++;
    }
}

/* Prints text at a margin, broken at spaces; lines that start with a space are left alone. */
static void print_wrapped(const char *text, int margin)
{
    while (*text) {
        size_t line = strcspn(text, "\n");

        if (line == 0 || *text == ' ')
            printf("%*s%.*s\n", line ? margin : 0, "", (int)line, text);
        else
            print_paragraph(text, text + line, margin);
        text += line;
        if (*text)
            text++;
    }
}

static void print_options(const struct command_option *options)
{
    for (; options && options->name; options++) {
        printf("    --%s%s%s\n", options->name, options->argument ? " " : "",
               options->argument ? options->argument : "");
        print_wrapped(options->help, 8);
    }
}

static void print_settings(const struct setting *setting)
{
    for (; setting->key; setting++) {
        printf("    %s = %s\n", setting->key, setting->fallback);
        print_wrapped(setting->help, 8);
    }
}

static void print_help(const struct command *command)
{
    printf("NAME\n    sagebrush %s - %s\n\n", command->name, command->summary);
    printf("SYNOPSIS\n    sagebrush %s%s%s\n\n", command->name, *command->usage ? " " : "", command->usage);
    printf("DESCRIPTION\n");
    print_wrapped(command->about, 4);
    printf("\nOPTIONS\n");
    print_options(command->options);
    print_options(common);
    if (command->settings) {
        printf("\nSETTINGS\n");
        print_settings(command->settings);
    }
}

static void print_commands(const struct command *const *commands)
{
    printf("sagebrush - a machine-learning platform that speaks the Amazon SageMaker API\n\n"
           "usage: sagebrush COMMAND [--help] [options]\n\n");
    for (; *commands; commands++)
        printf("  %-12s %s\n", (*commands)->name, (*commands)->summary);
    printf("\n`sagebrush COMMAND --help` is the page of a command.\n");
    printf(
        "\nThe first steps:\n"
        "  sudo sagebrush up --daemon        start the server\n"
        "  eval \"$(sudo sagebrush env)\"      point boto3, the AWS CLI and the SageMaker SDK of this shell at it\n");
}

static const struct command_option *option_of(const struct command_option *options, struct str name)
{
    for (; options && options->name; options++)
        if (str_is(name, options->name))
            return options;
    return NULL;
}

static int refuse_option(const struct command *command, struct str name, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct command_option *const lists[] = { command->options, common };
    const char *names[OPTIONS_MOST + 1], *nearest;
    size_t count = 0;

    for (size_t i = 0; i < 2; i++)
        for (const struct command_option *o = lists[i]; o && o->name && count < OPTIONS_MOST; o++)
            names[count++] = o->name;
    nearest = text_nearest_of(str_dup(a, name), names, count);
    return fail(err, ERR_INVALID, "%s has no option --" STR_FMT "%s%s%s; see sagebrush %s --help", command->name,
                STR_ARG(name), nearest ? " (did you mean --" : "", nearest ? nearest : "", nearest ? "?)" : "",
                command->name);
}

/* Takes the options out of argv; what is left are the words. */
static int parse(const struct command *command, char **argv, char **words, int *ret_count, struct err *err)
{
    int count = 0;

    for (; *argv; argv++) {
        const struct command_option *option;
        struct str name, value;
        const char *text;
        bool joined;

        if (strcmp(*argv, "--") == 0) {
            while (*++argv)
                words[count++] = *argv;
            break;
        }
        if (!text_starts(*argv, "--")) {
            words[count++] = *argv;
            continue;
        }
        joined = str_cut(str_of(*argv + 2), '=', &name, &value);
        if (!joined)
            name = str_of(*argv + 2);
        option = option_of(command->options, name);
        if (!option)
            option = option_of(common, name);
        if (!option)
            return refuse_option(command, name, err);
        if (!option->argument) {
            if (joined)
                return fail(err, ERR_INVALID, "--%s takes no value", option->name);
            *option->flag = true;
            continue;
        }
        text = joined ? value.data : *++argv;
        if (!text)
            return fail(err, ERR_INVALID, "--%s needs a value: --%s %s", option->name, option->name, option->argument);
        if (option->text)
            *option->text = text;
        else if (!str_to_int64(str_of(text), option->number))
            return fail(err, ERR_INVALID, "--%s %s: that is no whole number", option->name, text);
    }
    words[count] = NULL;
    *ret_count = count;
    return 0;
}

static int run(struct arena *a, const struct command *command, char **argv, struct err *err)
{
    char **words;
    int count = 0;

    for (char **word = argv; *word; word++)
        count++;
    words = arena_array_of(a, char *, (size_t)count + 1);
    if (parse(command, argv, words, &count, err) < 0)
        return -1;
    if (count < command->least || count > command->most)
        return fail(err, ERR_INVALID, "usage: sagebrush %s %s", command->name, command->usage);
    if (!command_data || !*command_data)
        command_data = getenv("SAGEBRUSH_DATA");
    return command->run(a, words, count, err);
}

static const struct command *find(const struct command *const *commands, const char *name)
{
    for (; *commands; commands++)
        if (strcmp((*commands)->name, name) == 0)
            return *commands;
    return NULL;
}

/* " (did you mean status?)", or "" */
static const char *meant(struct arena *a, const struct command *const *commands, const char *word)
{
    const char **names, *nearest;
    size_t count = 0;

    while (commands[count])
        count++;
    names = arena_array_of(a, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = commands[i]->name;
    nearest = text_nearest(word, names);
    return nearest ? arena_printf(a, " (did you mean %s?)", nearest) : "";
}

void command_print_json(const struct doc *d)
{
    _cleanup_buf_ struct buf text = { 0 };

    json_print_pretty(&text, d);
    printf("%s\n", text.data);
}

static void make_plain(struct doc *d)
{
    if (d->type == DOC_STRING)
        text_make_plain((char *)d->text.data);
    for (uint32_t i = 0; d->type == DOC_LIST && i < d->count; i++)
        make_plain(d->items[i]);
    for (uint32_t i = 0; d->type == DOC_MAP && i < d->count; i++)
        make_plain(d->members[i].value);
}

const struct doc *command_plain(struct arena *a, const struct doc *d)
{
    struct doc *copy = d ? doc_copy(a, d) : NULL;

    if (copy)
        make_plain(copy);
    return copy;
}

int command_main(const struct command *const *commands, int argc, char **argv)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct command *command;
    struct err err = { 0 };
    int status;

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        command = argc > 2 ? find(commands, argv[2]) : NULL;
        if (command)
            print_help(command);
        else
            print_commands(commands);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("sagebrush %s\n", SAGEBRUSH_VERSION);
        return 0;
    }
    command = find(commands, argv[1]);
    if (!command) {
        fprintf(stderr, "sagebrush: there is no command %s%s; `sagebrush --help` lists them\n", argv[1],
                meant(a, commands, argv[1]));
        return 2;
    }
    for (char **word = argv + 2; *word && strcmp(*word, "--") != 0; word++)
        if (strcmp(*word, "--help") == 0 || strcmp(*word, "-h") == 0) {
            print_help(command);
            return 0;
        }
    status = run(a, command, argv + 2, &err);
    if (status < 0) {
        fprintf(stderr, "sagebrush %s: %s\n", argv[1], err.text);
        return err.kind == ERR_INVALID ? 2 : 1;
    }
    /* What was printed is the answer; one that could not be written was not given. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "sagebrush %s: the output could not be written\n", argv[1]);
        return 1;
    }
    return status;
}
