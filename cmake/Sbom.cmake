# Writes the wheel's list of what is compiled into it, in CycloneDX; PEP 770 says where it stands.
configure_file(cmake/sbom.cdx.json.in nonlin.cdx.json @ONLY)
if(SKBUILD)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nonlin.cdx.json DESTINATION ${SKBUILD_METADATA_DIR}/sboms)
endif()
