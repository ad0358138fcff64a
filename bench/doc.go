// Command bench measures dbvalet beside a direct connection: the same client, the same server, in
// turns. It prints ratios, as the machines that it runs on differ and are shared; the absolute
// figures beside them are for orientation only. One dbvalet serves PostgreSQL and MariaDB.
//
// A ratio is the median over the rounds of dbvalet's figure divided by the direct one of the same
// round. The direct client uses TLS, as dbvalet does on its behalf.
package main
