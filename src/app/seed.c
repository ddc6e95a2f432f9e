#include "app/up_int.h"
int up_seed(struct up *up)
{
	return 0;
}
