#include "app/app.h"
#include <unistd.h>
int work_main(int argc, char **argv)
{
	for (;;)
		pause();
}
