#!/bin/busybox sh
# The first program of a test machine. Called twice by the kernel's hand and its own: makes the file
# systems that every distribution makes, then runs what it is sent over the second serial line.
# A request is its length in bytes, a line feed, and a script; the answer is the exit status and the
# lengths of both outputs on a line, and then these outputs.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
if [ -z "$IS_MOUNTED" ]; then
    /bin/busybox mkdir -p /dev /new /proc /root /run /sbin /sys /tmp /var/lib/longshore
    /bin/busybox --install -s /bin
    ln -s /bin/busybox /sbin/modprobe
    # No root can be pivoted to from the kernel's first file system; from a mount of it one can.
    mount -o bind / /new
    cd /new && mount -o move . /
    IS_MOUNTED=yes exec chroot . /init
fi
unset IS_MOUNTED
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As systemd sets it.
echo 4194304 >/proc/sys/kernel/pid_max
ip link set lo up
modprobe virtio_pci
modprobe virtio_blk
# Two who need it at once: busybox tells the second that it is there while it is still being loaded.
modprobe overlay
while [ ! -e /dev/vda ]; do usleep 10000; done
mount -t ext4 /dev/vda /var/lib/longshore
stty -F /dev/ttyS1 raw -echo
exec 3</dev/ttyS1 4>/dev/ttyS1
echo ready >&4
while read -r length <&3; do
    dd bs=1 count="$length" <&3 >/run/script 2>/dev/null
    sh /run/script </dev/null >/run/out 2>/run/err 3<&- 4>&-
    echo "$? $(wc -c </run/out) $(wc -c </run/err)" >&4
    cat /run/out /run/err >&4
done
