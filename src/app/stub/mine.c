#include "app/app.h"
__attribute__((weak)) int check_main(int argc, char **argv) { return 2; }
__attribute__((weak)) int admin_main(int argc, char **argv) { return 2; }
__attribute__((weak)) int import_plan_main(int argc, char **argv) { return 2; }
__attribute__((weak)) int up_main(int argc, char **argv) { return 2; }
