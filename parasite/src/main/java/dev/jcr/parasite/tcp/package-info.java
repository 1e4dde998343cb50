/// Established TCP connections: locked against the network, read out of and put into the kernel
/// (TCP_REPAIR). In this order: [dev.jcr.parasite.tcp.ConnectionLock#take],
/// [dev.jcr.parasite.tcp.ConnectionReader#read], [dev.jcr.parasite.tcp.ConnectionLock#keep] and the
/// silent end of the old sockets; then [dev.jcr.parasite.tcp.ConnectionMaker#make],
/// [dev.jcr.parasite.tcp.ConnectionLock#release] and [dev.jcr.parasite.tcp.ConnectionMaker#start]
/// of the new ones.
@NullMarked
package dev.jcr.parasite.tcp;

import org.jspecify.annotations.NullMarked;
