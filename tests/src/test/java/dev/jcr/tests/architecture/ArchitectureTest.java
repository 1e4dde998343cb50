package dev.jcr.tests.architecture;

import static com.tngtech.archunit.core.domain.JavaCall.Predicates.target;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.nameMatching;
import static com.tngtech.archunit.core.domain.properties.HasOwner.Predicates.With.owner;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.syntax.elements.ClassesShould;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/// `image-format` <- `parasite` <- {`dump`, `restore`} <- `cli`, and what only one of them may do.
@Tag("architecture")
final class ArchitectureTest {
  private static final String IMAGE = "dev.jcr.image..";
  private static final String PARASITE = "dev.jcr.parasite..";
  private static final String DUMP = "dev.jcr.dump..";
  private static final String RESTORE = "dev.jcr.restore..";
  private static final String CLI = "dev.jcr.cli..";

  /// Written by protoc: not ours to shape.
  private static final String GENERATED = "dev.jcr.image.v1";

  private static final JavaClasses CLASSES =
      new ClassFileImporter()
          .withImportOption(new ImportOption.DoNotIncludeTests())
          .importPackages("dev.jcr");

  private static ClassesShould noClassesIn(String... packages) {
    return noClasses().that().resideInAnyPackage(packages).should();
  }

  @Test
  void imageFormatDependsOnNoOtherModule() {
    noClassesIn(IMAGE)
        .dependOnClassesThat()
        .resideInAnyPackage(PARASITE, DUMP, RESTORE, CLI)
        .check(CLASSES);
  }

  @Test
  void imageFormatReadsAnyImageOnAnyHost() {
    noClassesIn(IMAGE)
        .dependOnClassesThat()
        .resideInAPackage("java.lang.foreign")
        .because("showing and checking an image needs no native access of its own")
        .check(CLASSES);
  }

  @Test
  void parasiteKnowsNeitherDumpNorRestore() {
    noClassesIn(PARASITE)
        .dependOnClassesThat()
        .resideInAnyPackage(DUMP, RESTORE, CLI)
        .check(CLASSES);
  }

  @Test
  void dumpAndRestoreDoNotKnowEachOther() {
    noClassesIn(DUMP).dependOnClassesThat().resideInAnyPackage(RESTORE, CLI).check(CLASSES);
    noClassesIn(RESTORE).dependOnClassesThat().resideInAnyPackage(DUMP, CLI).check(CLASSES);
  }

  @Test
  void onlyOnePackageUsesRestrictedNativeAccess() {
    noClasses()
        .that()
        .resideOutsideOfPackage("dev.jcr.parasite.linux..")
        .should()
        .callMethodWhere(
            target(owner(type(MemorySegment.class))).and(target(nameMatching("reinterpret"))))
        .orShould()
        .callMethodWhere(
            target(owner(type(Linker.class)))
                .and(target(nameMatching("downcallHandle|upcallStub"))))
        .orShould()
        .callMethodWhere(
            target(owner(type(SymbolLookup.class))).and(target(nameMatching("libraryLookup"))))
        .orShould()
        .callMethodWhere(
            target(owner(type(AddressLayout.class))).and(target(nameMatching("withTargetLayout"))))
        .orShould()
        .callMethodWhere(
            target(nameMatching("load|loadLibrary")).and(target(owner(type(System.class)))))
        .check(CLASSES);
  }

  @Test
  void onlyTheCommandLineEndsTheVirtualMachine() {
    noClasses()
        .that()
        .resideOutsideOfPackage(CLI)
        .should()
        .callMethodWhere(target(nameMatching("exit|halt")).and(target(owner(type(System.class)))))
        .orShould()
        .callMethodWhere(target(nameMatching("exit|halt")).and(target(owner(type(Runtime.class)))))
        .check(CLASSES);
  }

  @Test
  void noStaticStateChanges() {
    fields()
        .that()
        .areDeclaredInClassesThat()
        .resideOutsideOfPackage(GENERATED)
        .and()
        .areStatic()
        .and()
        .doNotHaveModifier(JavaModifier.SYNTHETIC)
        .should()
        .beFinal()
        .check(CLASSES);
  }

  @Test
  void namesSayWhatAThingIs() {
    noClasses()
        .that()
        .resideOutsideOfPackage(GENERATED)
        .should()
        .haveNameMatching(".*(Manager|Helper|Utils?|Impl)")
        .check(CLASSES);
  }

  private static DescribedPredicate<JavaClass> type(Class<?> type) {
    return JavaClass.Predicates.type(type);
  }
}
