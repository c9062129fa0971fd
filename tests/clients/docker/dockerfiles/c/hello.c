#include <stdio.h>

int main(void)
{
	puts("served by c");
	return 0;
}
