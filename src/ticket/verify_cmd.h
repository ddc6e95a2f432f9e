/*
 * `boxoffice verify-ticket`: checks ticket codes without a network, from files fetched before.
 */
#ifndef TICKET_VERIFY_CMD_H
#define TICKET_VERIFY_CMD_H

/* argv[0] is the name of the subcommand. Returns the exit status: 0 all codes valid, 1 one is not, 2 wrong usage or a
 * file that cannot be read. May block (files, standard input). */
int ticket_verify_main(int argc, char **argv);

#endif
