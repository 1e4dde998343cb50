import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassFile.StackMapsOption;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassFileVersion;
import java.lang.classfile.ClassTransform;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.stream.Stream;

/// Gives the classes of a folder the class file version of Java 8, adding the stack maps that it
/// wants. An AOT cache takes no class older than Java 6 (they cannot be verified ahead of time), and
/// picocli is compiled for Java 5.
final class Modernize {
  private Modernize() {}

  public static void main(String[] args) throws IOException {
    Path folder = Path.of(args[0]);
    try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()});
        Stream<Path> files = Files.walk(folder)) {
      ClassFile classes =
          ClassFile.of(
              StackMapsOption.GENERATE_STACK_MAPS,
              ClassFile.ClassHierarchyResolverOption.of(
                  ClassHierarchyResolver.defaultResolver()
                      .orElse(ClassHierarchyResolver.ofResourceParsing(loader))));
      for (Path file : files.filter(f -> f.toString().endsWith(".class")).toList()) {
        ClassModel model = classes.parse(file);
        if (model.majorVersion() < ClassFile.JAVA_6_VERSION) {
          ClassFileVersion version = ClassFileVersion.of(ClassFile.JAVA_8_VERSION, 0);
          Files.write(
              file,
              classes.transformClass(
                  model,
                  // Bodies are taken apart and put together, which is what makes stack maps.
                  ClassTransform.transformingMethodBodies((body, element) -> body.with(element))
                      .andThen(
                          (builder, element) ->
                              builder.with(
                                  element instanceof ClassFileVersion ? version : element))),
              StandardOpenOption.TRUNCATE_EXISTING);
        }
      }
    }
  }
}
