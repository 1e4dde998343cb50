#!/bin/sh
# Makes a relocatable jcr: a jlink runtime, the jars, an AOT cache of a training run, man pages and
# completion, and (unless told not to) a tar.zst of it all. Called by Maven in the package phase.
#
# usage: package.sh JDK TARGET VERSION STAMP TAR
#   JDK     a full JDK 25
#   TARGET  cli/target; TARGET/lib holds the dependencies, TARGET/jcr-cli-VERSION.jar the verbs
#   STAMP   a file whose time is that of the sources' being read, or an ISO time
#   TAR     "yes" or "no"
set -eu
jdk=$1 target=$2 version=$3 stamp=$4 tar=$5
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
arch=$(uname -m)
name=jcr-$version-$arch
# A folder of its own for every build: a jcr that still runs keeps its files.
dist=$target/dist/$(date +%s)-$$
out=$dist/$name
mkdir -p "$out/lib" "$out/share"

# Options of every start, chosen by measurement (cli/README.md). Warnings of the JVM itself would
# land on stdout, which is data.
jvm_options="-XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0 -XX:+UseSerialGC -XX:-UsePerfData -XX:MaxDirectMemorySize=1t \
-Xlog:disable -Xlog:all=error:stderr --enable-native-access=ALL-UNNAMED \
--sun-misc-unsafe-memory-access=allow"

# The jars. zstd's goes without its libraries for other machines; the one for this machine lies
# beside it, so that it is not unpacked into /tmp at every start.
cp -p "$target/jcr-cli-$version.jar" "$target"/lib/*.jar "$out/lib/"
unpack() {
  jar=$(echo "$out"/lib/$1-[0-9]*.jar)
  mkdir "$dist/$1"
  (cd "$dist/$1" && "$jdk/bin/jar" xf "$jar")
}
repack() {
  rm -rf "$dist/$1/META-INF/versions" "$dist/$1/META-INF/MANIFEST.MF" "$dist/$1/module-info.class"
  rm -f "$dist/$1"/META-INF/*.SF "$dist/$1"/META-INF/*.DSA "$dist/$1"/META-INF/*.RSA
  "$jdk/bin/jar" --create --no-manifest --no-compress --date=2026-11-20T00:00:00Z --file "$jar" \
    -C "$dist/$1" .
  rm -rf "${dist:?}/$1"
}
unpack picocli
"$jdk/bin/java" "$here/Modernize.java" "$dist/picocli"
repack picocli
# Signed jars: the AOT cache takes none of their classes, and the first class looked for in one has
# its signature checked, which is a tenth of a second of every start.
for signed in bcpkix bcprov bcutil; do
  unpack "$signed-jdk18on"
  repack "$signed-jdk18on"
done
unpack zstd-jni
case $arch in
  x86_64) cp "$dist"/zstd-jni/linux/amd64/libzstd-jni-*.so "$out/lib/libzstd-jni.so" ;;
  *) cp "$dist/zstd-jni/linux/$arch"/libzstd-jni-*.so "$out/lib/libzstd-jni.so" ;;
esac
chmod 755 "$out/lib/libzstd-jni.so"
find "$dist/zstd-jni" -name 'libzstd-jni*' -delete
repack zstd-jni

class_path=
for jar in "$out/lib/jcr-cli-$version.jar" "$out"/lib/*.jar; do
  case :$class_path: in *:\$home/lib/"${jar##*/}":*) continue ;; esac
  class_path=$class_path${class_path:+:}\$home/lib/${jar##*/}
done
sed -e "s|@JVM_OPTIONS@|$jvm_options -DZstdNativePath=\"\$home/lib/libzstd-jni.so\"|" \
  -e "s|@CLASS_PATH@|$class_path|" "$here/jcr" >"$out/jcr"
chmod 755 "$out/jcr"

"$jdk/bin/jlink" --add-modules java.base,java.logging,jdk.unsupported \
  --strip-java-debug-attributes --no-header-files --no-man-pages --output "$out/runtime"

# Generated from the commands: they cannot differ from what the program does.
home=$out
eval "class_path=\"$class_path\""
# shellcheck disable=SC2086
plain="$out/runtime/bin/java -XX:TieredStopAtLevel=1 $jvm_options -DZstdNativePath=$out/lib/libzstd-jni.so -Djcr.launcher=$out/jcr"
# shellcheck disable=SC2086
$plain -cp "$class_path" dev.jcr.cli.Documents "$out/share"
rm -rf "$target/generated"
cp -r "$out/share" "$target/generated"

# The training run walks the paths that users wait for. It dumps and restores a process of its own
# where it may; where it may not, those classes are loaded as usual.
work=$dist/training
mkdir "$work"
set --
if command -v perl >/dev/null && command -v setsid >/dev/null; then
  # Descriptors that the build happens to have open would be refused.
  # It has what most processes have: a locked file, a handler, a timer, a sleep with an end.
  setsid perl -MPOSIX -e 'POSIX::close($_) for 3 .. 1023; $SIG{ALRM} = $SIG{USR1} = sub {}; alarm 60;
    open my $file, "+>", shift; flock $file, 2; print $file "x" x 100000; sleep 60' "$work/file" \
    </dev/null >/dev/null 2>"$work/err" &
  set -- "$!"
fi
# shellcheck disable=SC2086
timeout 60 $plain -Djcr.training=yes -XX:AOTCacheOutput="$out/lib/jcr.aot" -cp "$class_path" \
  dev.jcr.cli.Training "$work" "$@" >"$target/training.log" 2>&1 ||
  timeout 60 $plain -Djcr.training=yes -XX:AOTCacheOutput="$out/lib/jcr.aot" -cp "$class_path" \
    dev.jcr.cli.Training "$work/again" >>"$target/training.log" 2>&1 || true
if [ $# -gt 0 ]; then
  kill -9 "$1" 2>/dev/null || true
fi
rm -rf "$work"

if [ -e "$stamp" ]; then
  touch -r "$stamp" "$out/lib/stamp"
else
  touch -d "$stamp" "$out/lib/stamp"
fi

if [ "$tar" = yes ]; then
  tar -C "$dist" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" |
    "$jdk/bin/java" -cp "$(echo "$target"/lib/zstd-jni-*.jar)" --enable-native-access=ALL-UNNAMED \
      "$here/Zstd.java" >"$target/$name.tar.zst.new"
  mv "$target/$name.tar.zst.new" "$target/$name.tar.zst"
fi

# Published last, by a rename: a start sees the old build or the new one, whole.
ln -s "dist/${dist##*/}/$name" "$target/current.$$"
mv -T "$target/current.$$" "$target/current"
# The build before this one may still be running: it stays until the next.
ls -1t "$target/dist" | tail -n +3 | while read -r old; do rm -rf "${target:?}/dist/$old"; done
