package dev.jcr.parasite.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import dev.jcr.parasite.host.KernelFeatures.Feature;
import java.io.IOException;
import org.junit.jupiter.api.Test;

final class KernelFeaturesTest {
  @Test
  void findsWhatEveryLinuxHas() throws IOException {
    assertThat(KernelFeatures.probe().features())
        .extracting(Feature::name, Feature::available)
        .contains(tuple("process_vm_readv", true));
  }

  @Test
  void aMissingFeatureNamesItsRemedy() throws IOException {
    assertThat(KernelFeatures.probe().features())
        .allSatisfy(feature ->
            assertThat(feature.remedy().isEmpty())
                .isEqualTo(feature.available() || feature.need() == KernelFeatures.Need.PROCESSOR));
  }
}
